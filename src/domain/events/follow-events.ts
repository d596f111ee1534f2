import { setTimeout as delay } from 'node:timers/promises';
import { toAppError } from '../../lib/errors/classify.ts';
import type { EventLog } from './event-log.ts';
import type { Position, Start } from './position.ts';
import type { Followed, Stretch } from './types.ts';

export interface FollowOptions extends Followed {
  /** Where the caller stands; left out, it is told of what is committed from now on. */
  readonly after?: Position | undefined;
  readonly signal: AbortSignal;
}

const readAtOnce = 200;
/** Each brings the caller's position up to date, although nothing has happened that concerns it. */
const quietMs = 10_000;
const retryMs = 500;

/** A place that no event here can have, as of another database: it begins now. */
const startAt = (now: Start, after: Position | undefined): Start =>
  after === undefined || after.xid > now.end ? now : { ...now, position: after, knows: () => false };

const read = async (
  log: EventLog,
  after: Position,
  { types, workspaceId, signal }: FollowOptions,
): Promise<Stretch> => {
  for (;;) {
    try {
      return await log.read(after, { types, workspaceId, limit: readAtOnce });
    } catch (error) {
      if (!toAppError(error).retryable || signal.aborted) throw error;
      await delay(retryMs, undefined, { signal }).catch(() => undefined);
    }
  }
};

/**
 * Events as they are committed, in that order, until the signal aborts. An empty stretch tells where the follower stands: at
 * first, and when there was nothing for a while. An outage of Postgres is waited for.
 */
export async function* followEvents(log: EventLog, options: FollowOptions): AsyncGenerator<Stretch> {
  const { signal } = options;
  const leave = log.attend();
  try {
    const now = await log.now();
    const start = startAt(now, options.after);
    let after = start.position;
    yield nothingUpTo(after);
    while (!signal.aborted) {
      const stretch = await read(log, after, options);
      after = stretch.to;
      const events = stretch.events.filter(({ position }) => !start.knows(position.xid));
      if (events.length > 0) yield { ...stretch, events };
      if (stretch.events.length > 0 || stretch.more) continue;
      const since = performance.now();
      await log.changed(after, quietMs, signal);
      if (performance.now() - since >= quietMs) yield nothingUpTo(after);
    }
  } finally {
    leave();
  }
}

const nothingUpTo = (to: Position): Stretch => ({ events: [], to, more: false, held: false });
