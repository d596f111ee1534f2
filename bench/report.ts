import os from 'node:os';

export interface Row {
  readonly measure: string;
  readonly treadle: number;
  readonly raw?: number;
  /** Of the two, where it is not simply their quotient. */
  readonly ratio?: number;
  readonly unit: string;
}

const rounded = (value: number): string => (value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(2));
const ratioOf = ({ treadle, raw, ratio }: Row): string =>
  raw === undefined ? '' : (ratio ?? treadle / raw).toFixed(2);

/** Prints each row as a JSON line, all as a table, and last the ratios: `bench <name>: <measure> <ratio>, …`. */
export const report = (name: string, rows: readonly Row[]): void => {
  for (const row of rows)
    console.log(
      JSON.stringify({ bench: name, ratio: row.raw === undefined ? undefined : row.treadle / row.raw, ...row }),
    );
  const width = Math.max(...rows.map(({ measure }) => measure.length));
  console.log(`\n${'measure'.padEnd(width)}  ${'Treadle'.padStart(10)}  ${'raw BullMQ'.padStart(10)}  ratio  unit`);
  for (const row of rows) {
    const raw = row.raw === undefined ? '' : rounded(row.raw);
    console.log(
      `${row.measure.padEnd(width)}  ${rounded(row.treadle).padStart(10)}  ${raw.padStart(10)}  ${ratioOf(row).padStart(5)}  ${row.unit}`,
    );
  }
  const load = os
    .loadavg()
    .map((value) => value.toFixed(1))
    .join(' ');
  console.log(`\n${os.cpus().length} cores, load ${load}, Node ${process.version}`);
  const ratios = rows.filter(({ raw }) => raw !== undefined).map((row) => `${row.measure} ${ratioOf(row)}`);
  console.log(`bench ${name}: ${ratios.join(', ')}`);
};
