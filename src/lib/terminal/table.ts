export type Cell = string | number | boolean | Date | null | undefined;

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => Cell;
  readonly align?: 'right';
  /** Longer values are cut, with an ellipsis. */
  readonly maxWidth?: number;
}

const controlCharacters = /\p{Cc}+/gu;

/** A value as one line of text; times in UTC to the second. Control characters cannot reach the terminal. */
export const cellText = (value: Cell): string => {
  if (value === null || value === undefined) return '-';
  if (value instanceof Date)
    return value
      .toISOString()
      .replace('T', ' ')
      .replace(/\.\d+Z$/, 'Z');
  return String(value).replaceAll(controlCharacters, ' ').trim();
};

/** Cuts a text that is longer than `width`, with an ellipsis. */
export const shorten = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1)).replace(/[\uD800-\uDBFF]$/, '')}…`;

/** Rows under their columns' titles, or `empty` when there are none. */
export const table = <Row>(rows: readonly Row[], columns: readonly Column<Row>[], empty: string): string => {
  if (rows.length === 0) return empty;
  const cells = rows.map((row) =>
    columns.map((column) => shorten(cellText(column.value(row)), column.maxWidth ?? Number.POSITIVE_INFINITY)),
  );
  const widths = columns.map((column, index) =>
    Math.max(column.title.length, ...cells.map((row) => row[index]?.length ?? 0)),
  );
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, index) => {
        const width = widths[index] ?? 0;
        return columns[index]?.align === 'right' ? text.padStart(width) : text.padEnd(width);
      })
      .join('  ')
      .trimEnd();
  return [line(columns.map((column) => column.title.toUpperCase())), ...cells.map(line)].join('\n');
};

/** Names and values, one a line, values aligned. */
export const properties = (entries: readonly (readonly [name: string, value: Cell])[]): string => {
  const width = Math.max(0, ...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${cellText(value)}`).join('\n');
};
