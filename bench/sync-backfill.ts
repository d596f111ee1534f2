import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { Backfilled } from './processes/sync-backfill.ts';
import type { Row } from './report.ts';
import { fillArticles, type SyncWorld } from './sync-world.ts';

const program = new URL('./processes/sync-backfill.ts', import.meta.url);
const limitMb = 300;

/** An index written from nothing, in a process of its own whose memory is looked at each 20 ms. */
export const measureBackfill = async (world: SyncWorld, rows: number, have: number): Promise<readonly Row[]> => {
  await fillArticles(world.postgres, have, rows);
  const child = fork(program, [world.postgresUrl, world.elasticsearchUrl], { execArgv: ['--expose-gc'] });
  const gone = once(child, 'exit');
  const told = await Promise.race([once(child, 'message'), gone.then(() => undefined)]);
  if (!told) throw new Error('the process of the backfill ended before it was done');
  const { documents, ms, startRssMb, peakRssMb, peakHeapMb } = told[0] as Backfilled;
  await gone;
  if (documents !== rows) throw new Error(`${documents} documents of ${rows} were written`);
  const row = (measure: string, value: number, unit: string): Row => ({
    measure,
    unit,
    standings: [{ name: 'Treadle', value }],
  });
  const what = `backfill of ${rows.toLocaleString('en')} rows`;
  return [
    { ...row(`${what}: most memory of the process`, peakRssMb, 'MB'), promised: { of: 'value', atMost: limitMb } },
    { ...row('growth over its start', peakRssMb - startRssMb, 'MB'), detail: true },
    { ...row('most of heap and external', peakHeapMb, 'MB'), detail: true },
    { ...row(what, (documents * 1_000) / ms, 'documents/s'), detail: true },
  ];
};
