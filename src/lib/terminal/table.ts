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

const gap = 2;
/** A column with a greatest width may be narrowed to so much. */
const leastWidth = 12;

const total = (widths: readonly number[]): number => widths.reduce((sum, width) => sum + width + gap, -gap);

/** Takes what is too much off the columns that may be cut, the widest first. */
const narrow = <Row>(
  widths: readonly number[],
  columns: readonly Column<Row>[],
  available: number,
): readonly number[] => {
  const narrowed = [...widths];
  while (total(narrowed) > available) {
    const cuttable = narrowed.map((width, index) => (columns[index]?.maxWidth === undefined ? 0 : width));
    const widest = Math.max(...cuttable);
    if (widest <= leastWidth) break;
    narrowed[cuttable.indexOf(widest)] = widest - 1;
  }
  return narrowed;
};

const terminalWidth = (): number => (process.stdout.isTTY ? process.stdout.columns : Number.POSITIVE_INFINITY);

/**
 * Rows under their columns' titles, or `empty` when there are none. Where they do not fit into `width` (the terminal's, if
 * there is one) long values are cut; where that is not enough, each row becomes a paragraph.
 */
export const table = <Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  empty: string,
  width: number = terminalWidth(),
): string => {
  if (rows.length === 0) return empty;
  const cells = rows.map((row) =>
    columns.map((column) => shorten(cellText(column.value(row)), column.maxWidth ?? Number.POSITIVE_INFINITY)),
  );
  const wanted = columns.map((column, index) =>
    Math.max(column.title.length, ...cells.map((row) => row[index]?.length ?? 0)),
  );
  const widths = narrow(wanted, columns, width);
  if (total(widths) > width) {
    return cells.map((row) => properties(columns.map(({ title }, index) => [title, row[index] ?? '']))).join('\n\n');
  }
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, index) => {
        const cell = shorten(text, widths[index] ?? 0);
        return columns[index]?.align === 'right' ? cell.padStart(widths[index] ?? 0) : cell.padEnd(widths[index] ?? 0);
      })
      .join(' '.repeat(gap))
      .trimEnd();
  return [line(columns.map((column) => column.title.toUpperCase())), ...cells.map(line)].join('\n');
};

/** Names and values, one a line, values aligned. */
export const properties = (entries: readonly (readonly [name: string, value: Cell])[]): string => {
  const width = Math.max(0, ...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${cellText(value)}`).join('\n');
};
