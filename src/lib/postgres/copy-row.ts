/** A value of a column: text, NULL, or an array of text. */
export type CopyValue = string | null | undefined | readonly string[];

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

const escape = (text: string): string => text.replaceAll(/[\\\n\r\t]/g, (character) => escapes[character] ?? character);

const arrayText = (items: readonly string[]): string =>
  `{${items.map((item) => `"${item.replaceAll(/["\\]/g, String.raw`\$&`)}"`).join(',')}}`;

const field = (value: CopyValue): string => {
  if (value === undefined || value === null) return String.raw`\N`;
  return escape(typeof value === 'string' ? value : arrayText(value));
};

/** A row of `COPY … FROM STDIN` in its text format. */
export const copyRow = (values: readonly CopyValue[]): string => `${values.map(field).join('\t')}\n`;
