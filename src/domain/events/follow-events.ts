import { setTimeout as delay } from 'node:timers/promises';
import { toAppError } from '../../lib/errors/classify.ts';
import type { EventLog } from './event-log.ts';
import type { Position } from './position.ts';
import type { Followed, Stretch } from './types.ts';

export interface FollowOptions extends Followed {
  /** Where the caller stands. */
  readonly after: Position;
  readonly signal: AbortSignal;
}

const readAtOnce = 200;
/** Each brings the caller's position up to date, although nothing has happened that concerns it. */
const quietMs = 10_000;
const retryMs = 500;

const read = async (log: EventLog, after: Position, { signal, ...followed }: FollowOptions): Promise<Stretch> => {
  for (;;) {
    try {
      return await log.read(after, { ...followed, limit: readAtOnce });
    } catch (error) {
      if (!toAppError(error).retryable || signal.aborted) throw error;
      await delay(retryMs, undefined, { signal }).catch(() => undefined);
    }
  }
};

/**
 * Events after a position as they are committed, in that order, until the signal aborts. An empty stretch tells that there was
 * nothing for a while, and where the follower stands now. An outage of Postgres is waited for.
 */
export async function* followEvents(log: EventLog, options: FollowOptions): AsyncGenerator<Stretch> {
  const { signal } = options;
  const leave = log.attend();
  let { after } = options;
  try {
    while (!signal.aborted) {
      const stretch = await read(log, after, options);
      after = stretch.to;
      if (stretch.events.length > 0) {
        yield stretch;
        continue;
      }
      if (stretch.more) continue;
      const since = performance.now();
      await log.changed(after, quietMs, signal);
      if (performance.now() - since >= quietMs) yield { ...stretch, to: after };
    }
  } finally {
    leave();
  }
}
