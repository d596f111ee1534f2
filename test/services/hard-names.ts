/** Names that an app may give to what it likes, and that break keys, patterns and hash tags that are put together carelessly. */
export const hardNames: readonly (readonly [what: string, name: string])[] = [
  ['spaces', 'two words '],
  ['line ends', 'one\r\ntwo\n'],
  ['braces', 'a}b{c}{'],
  ['what globs mean', '*?[a-z]\\'],
  ['separators', 'a:b/c|d%7D"e\''],
  ['other scripts', 'Ωmega 漢字 👩‍👩‍👧'],
  ['the names of fields', '__proto__'],
  ['a number', '7'],
];
