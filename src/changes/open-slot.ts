import type { Log } from '../lib/log/create-log.ts';
import type { Postgres } from '../lib/postgres/postgres.ts';
import type { Lsn } from '../lib/replication/lsn.ts';
import { createSlot, dropSlot, readSlot } from '../lib/replication/slot.ts';

export interface OpenSlotParts {
  readonly postgres: Postgres;
  readonly log: Log;
  readonly slot: string;
}

/**
 * Where the slot stands. It is made where there is none, and anew where the server has lost what it needs; with `renew` also
 * when nobody reads it, as it has skipped changes.
 */
export const openSlot = async (
  { postgres, log, slot }: OpenSlotParts,
  { renew }: { readonly renew: boolean },
): Promise<Lsn> => {
  let found = await readSlot(postgres, slot);
  if (found && renew && found.activePid === null) {
    log.warn({ event: 'changes.slot-renewed', slot, reason: 'a publication was missing' });
    await dropSlot(postgres, slot);
    found = undefined;
  }
  if (found?.confirmedFlush != null && found.walStatus !== 'lost') return found.confirmedFlush;
  const client = await postgres.connectDirect('slot');
  try {
    if (found) {
      log.warn({ event: 'changes.slot-renewed', slot, reason: 'WAL that it needed is gone' });
      await client.query('SELECT pg_drop_replication_slot($1)', [slot]);
    }
    await createSlot(client, slot);
  } finally {
    await client.end();
  }
  const made = await readSlot(postgres, slot);
  if (made?.confirmedFlush == null) throw new Error(`the replication slot ${slot} was removed while it was made`);
  return made.confirmedFlush;
};
