import { load, type Machine } from './machine.ts';
import type { Standing } from './measure.ts';

/** What has been promised of a row: of Treadle's own value, or of its ratio to raw BullMQ's or plain pg's. */
export interface Promised {
  readonly of: 'value' | 'ratio';
  readonly atLeast?: number;
  readonly atMost?: number;
}

export interface Row {
  readonly measure: string;
  readonly unit: string;
  readonly standings: readonly Standing[];
  readonly promised?: Promised;
  /** Left out of the last line. */
  readonly detail?: boolean;
}

export interface Report {
  readonly name: string;
  /** Only tried out. */
  readonly short: boolean;
  readonly machine: Machine;
  readonly loadBefore: readonly number[];
  readonly rows: readonly Row[];
}

const plain = ['raw BullMQ', 'plain pg', 'raw Elasticsearch', 'raw bentocache', 'raw ioredis'];
const contestants = ['Treadle', ...plain, 'pg-boss', 'graphile-worker'];
/** Whom ratios are to. */
const yardsticks = plain;

const rounded = (value: number): string => (value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(2));

const valueOf = ({ standings }: Row, name: string): number | undefined =>
  standings.find((standing) => standing.name === name)?.value;

/** Treadle's value by that of another: the median of the rounds' ratios where there were rounds. */
const ratioTo = (row: Row, { name, value, ratio }: Standing): number | undefined => {
  const own = valueOf(row, 'Treadle');
  return name === 'Treadle' || own === undefined ? undefined : (ratio ?? own / value);
};

const ratioOf = (row: Row): number | undefined => {
  const raw = row.standings.find(({ name }) => yardsticks.includes(name));
  return raw && ratioTo(row, raw);
};

const verdictOf = (row: Row): string => {
  if (!row.promised) return '';
  const { of, atLeast, atMost } = row.promised;
  const seen = (of === 'ratio' ? ratioOf(row) : valueOf(row, 'Treadle')) ?? Number.NaN;
  const kept = seen >= (atLeast ?? Number.NEGATIVE_INFINITY) && seen <= (atMost ?? Number.POSITIVE_INFINITY);
  const limit = atLeast === undefined ? `at most ${atMost}` : `at least ${atLeast}`;
  return `${of} ${limit}: ${kept ? 'kept' : 'MISSED'}`;
};

const cellOf = (row: Row, name: string): string => {
  const standing = row.standings.find((other) => other.name === name);
  if (!standing) return '';
  const { value, best } = standing;
  return best === undefined ? rounded(value) : `${rounded(value)} (${rounded(best)})`;
};

const printTable = (rows: readonly Row[]): void => {
  const names = contestants.filter((name) => rows.some((row) => cellOf(row, name) !== ''));
  const lines = [
    ['measure', ...names, 'ratio', 'unit', 'promised'],
    ...rows.map((row) => [
      row.measure,
      ...names.map((name) => cellOf(row, name)),
      ratioOf(row)?.toFixed(2) ?? '',
      row.unit,
      verdictOf(row),
    ]),
  ];
  const widths = (lines[0] ?? []).map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const isText = (column: number): boolean => column === 0 || column > names.length + 1;
  console.log();
  for (const line of lines) {
    const cells = line.map((cell, column) =>
      isText(column) ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
    );
    console.log(cells.join('  ').trimEnd());
  }
};

const summaryOf = (row: Row): string => {
  const ratio = ratioOf(row);
  const value = valueOf(row, 'Treadle') ?? Number.NaN;
  return ratio === undefined ? `${row.measure} ${rounded(value)} ${row.unit}` : `${row.measure} ${ratio.toFixed(2)}`;
};

/**
 * Prints each row as a JSON line, all as a table (in brackets the best of the rounds), the machine, its load and the versions,
 * and last the ratios to raw BullMQ or plain pg, or Treadle's value where neither has a part: `bench <name>: <measure> <ratio>, …`.
 */
export const report = ({ name, short, machine, loadBefore, rows }: Report): void => {
  const loadAfter = load();
  for (const row of rows) {
    const standings = row.standings.map((standing) => ({ ...standing, ratio: ratioTo(row, standing) }));
    console.log(JSON.stringify({ bench: name, ...row, standings }));
  }
  console.log(JSON.stringify({ bench: name, short, ...machine, loadBefore, loadAfter }));
  printTable(rows);
  const versions = Object.entries(machine.versions).map(([program, version]) => `${program} ${version}`);
  console.log(`\n${machine.cpu}, ${machine.cores} cores, ${machine.memoryGb} GB; ${versions.join(', ')}`);
  console.log(`load before ${loadBefore.join(' ')}, after ${loadAfter.join(' ')}`);
  console.log(
    `bench ${name}: ${rows
      .filter(({ detail }) => !detail)
      .map(summaryOf)
      .join(', ')}`,
  );
};
