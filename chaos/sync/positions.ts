import { setTimeout as delay } from 'node:timers/promises';
import { formatLsn, parseLsn } from '../../src/lib/replication/lsn.ts';
import type { SyncWorld } from './world.ts';

export interface PositionReport {
  readonly samples: number;
  /** Moments at which the server had been told more than every sink had stored. */
  readonly ahead: readonly string[];
}

/** Looks all the time whether the slot stands behind what is stored of each sink. */
export const watchPositions = async (
  { query }: Pick<SyncWorld, 'query'>,
  sinks: number,
  signal: AbortSignal,
): Promise<PositionReport> => {
  const ahead: string[] = [];
  let samples = 0;
  while (!signal.aborted) {
    const [row] = await query<{ confirmed: string | null; stored: string | null; sinks: number }>(
      'SELECT confirmed::text, stored::text, sinks FROM oracle.positions()',
    );
    // Before the slot is made, and while the sinks begin to follow.
    if (row?.confirmed != null && row.stored !== null && row.sinks >= sinks) {
      samples += 1;
      const [confirmed, stored] = [parseLsn(row.confirmed), parseLsn(row.stored)];
      if (confirmed > stored) ahead.push(`confirmed ${formatLsn(confirmed)}, stored ${formatLsn(stored)}`);
    }
    await delay(10);
  }
  return { samples, ahead };
};
