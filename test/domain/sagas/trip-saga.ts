import { z } from 'zod';
import { defineSaga, type InTransaction } from '../../../src/domain/sagas/define-saga.ts';

/** What the steps did, in their order; a test empties it. */
export const happened: string[] = [];

type Happening = (signal: AbortSignal) => Promise<unknown>;
const happenings = new Map<string, Happening[]>();

/** Makes of the next time that `what` happens whatever `happening` does, after it is noted. */
export const next = (what: string, happening: Happening): void => {
  happenings.set(what, [...(happenings.get(what) ?? []), happening]);
};
export const fails = (what: string, error: unknown): void => next(what, () => Promise.reject(error));

/** Waits until the step is to end, and ends it then. */
export const untilAborted: Happening = (signal) =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('the step was ended')), { once: true });
  });

export const forget = (): void => {
  happened.length = 0;
  happenings.clear();
};

const happens = async (what: string, { signal }: { readonly signal: AbortSignal }): Promise<void> => {
  happened.push(what);
  await happenings.get(what)?.shift()?.(signal);
};

const tripInput = z.strictObject({ traveller: z.string().min(1).max(20), nights: z.int().min(1) });

const roomOf = { create: 'INSERT INTO rooms (saga_id) VALUES ($1)', remove: 'DELETE FROM rooms WHERE saga_id = $1' };
const changeRooms = ({ tx }: InTransaction, change: keyof typeof roomOf, id: string): Promise<unknown> =>
  tx.query(roomOf[change], [id]);

/** Books a flight, reserves a room in the table `rooms`, and sends a mail; each says in `happened` what it did. */
export const trip = defineSaga({
  name: 'trips.book',
  input: tripInput,
  backoff: { delayMs: 0 },
  steps: [
    {
      name: 'flight',
      attempts: 2,
      execute: async (context) => {
        await happens('flight', context);
        return { seat: '12A', of: context.input.traveller };
      },
      compensate: (context) => happens(`cancel flight ${JSON.stringify(context.result)}`, context),
    },
    {
      name: 'room',
      transactional: true,
      attempts: 2,
      execute: async (context) => {
        await changeRooms(context, 'create', context.saga.id);
        await happens('room', context);
        return context.input.nights;
      },
      compensate: async (context) => {
        await changeRooms(context, 'remove', context.saga.id);
        await happens('cancel room', context);
      },
      compensationAttempts: 2,
    },
    {
      name: 'mail',
      attempts: 2,
      timeoutMs: 5_000,
      execute: async (context) => {
        await happens('mail', context);
        return { told: context.results };
      },
      compensate: (context) => happens(`apologise for ${JSON.stringify(context.result)}`, context),
    },
  ],
});
