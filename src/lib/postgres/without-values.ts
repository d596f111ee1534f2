const mostCharacters = 500;

/** Comments, texts in quotes or dollars, and numbers that are no part of a name. */
const values =
  /--[^\n]*|\/\*[\s\S]*?\*\/|\$(\w*)\$[\s\S]*?\$\1\$|[eE]?'(?:[^'\\]|''|\\.)*'|(?<![\w$"])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b/g;

/** A statement as it may be shown: one line, `?` in the place of every value, cut after 500 characters. */
export const withoutValues = (statement: string): string => {
  const text = statement
    .replaceAll(values, (found) => (found.startsWith('--') || found.startsWith('/*') ? ' ' : '?'))
    .replaceAll(/\s+/g, ' ')
    .trim();
  return text.length > mostCharacters ? `${text.slice(0, mostCharacters)}…` : text;
};
