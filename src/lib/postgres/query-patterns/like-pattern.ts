/** A pattern for LIKE that finds this text anywhere; `%`, `_` and `\` in it are nothing but themselves. */
export const likeAnywhere = (text: string): string => `%${text.replaceAll(/[\\%_]/g, String.raw`\$&`)}%`;
