const fence = /^ {0,3}(`{3,}|~{3,})/;
const numberedHeading = /^ {0,3}#{1,6}[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$/;
const underline = /^ {0,3}(?:=+|-{2,})[ \t]*$/;
const htmlHeading = /<h[1-6][^>]*>(.*?)<\/h[1-6]>/i;

/** The words of a heading: images, tags and markup dropped, links kept as their text. */
const plainText = (markdown: string): string =>
  markdown
    .replaceAll(/!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])/g, '')
    .replaceAll(/\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])/g, '$1')
    .replaceAll(/<[^>]{0,1000}>/g, '')
    .replaceAll(/(\*\*|__|`+)/g, '')
    .replaceAll(/(?<![\p{L}\p{N}])[*_](?=\S)|(?<=\S)[*_](?![\p{L}\p{N}])/gu, '')
    .replaceAll(/\\([!-/:-@[-`{-~])/g, '$1')
    .replaceAll(/\s+/g, ' ')
    .trim();

const headingAt = (line: string, previous: string): string => {
  const numbered = numberedHeading.exec(line);
  if (numbered?.[1] !== undefined) return plainText(numbered[1]);
  if (underline.test(line) && previous.trim() !== '') return plainText(previous);
  const html = htmlHeading.exec(line);
  return html?.[1] === undefined ? '' : plainText(html[1]);
};

/** The text of the first heading that has any, outside code; undefined when there is none. */
export const firstHeading = (markdown: string): string | undefined => {
  let openFence: string | undefined;
  let previous = '';
  for (const line of markdown.split('\n', 2_000)) {
    const mark = fence.exec(line)?.[1];
    if (openFence !== undefined) {
      if (mark?.startsWith(openFence)) openFence = undefined;
      continue;
    }
    if (mark !== undefined) {
      openFence = mark;
      previous = '';
      continue;
    }
    // Headings are short; a long line is data, and not worth the patterns.
    const short = line.length > 2_000 ? '' : line;
    const heading = headingAt(short, previous);
    if (heading !== '') return heading;
    previous = short;
  }
  return undefined;
};
