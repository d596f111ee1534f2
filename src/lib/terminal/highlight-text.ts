const entities: Readonly<Record<string, string>> = {
  '&amp;': '&',
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&#39;': "'",
  '&#x27;': "'",
};
const bold = ['\u001B[1m', '\u001B[22m'] as const;

/**
 * A highlight of a search (escaped HTML with `<mark>`) as one line for a terminal: in bold what matched, where `color` is
 * true. Control characters of the document are taken out.
 */
export const highlightText = (html: string, { color }: { readonly color: boolean }): string => {
  const [start, end] = color ? bold : ['', ''];
  return html
    .replaceAll(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .replaceAll('<mark>', start)
    .replaceAll('</mark>', end)
    .replaceAll(/&(?:amp|lt|gt|quot|#39|#x27);/g, (entity) => entities[entity] ?? entity);
};
