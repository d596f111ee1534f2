import { z } from 'zod';
import type { PresenceConnection, PresenceEvent } from './types.ts';

/** A user's record, as redis-presence-scripts.ts writes it. */
export interface UserRecord {
  readonly joinedAt: Date;
  readonly joinedSequence: number;
  readonly connections: readonly PresenceConnection[];
}

const time = z.coerce.number().transform((ms) => new Date(ms));

/** Not a record of zod's, which knows names that it leaves out. */
const entries = z
  .custom<object>((value) => typeof value === 'object' && value !== null)
  .transform((value): [string, unknown][] => Object.entries(value));
const connection = z.object({ j: time, s: time, a: z.string().optional() });
const record = z.object({ j: time, q: z.number(), c: entries.pipe(z.array(z.tuple([z.string(), connection]))) });

const parseJson = (text: string | undefined): unknown => (text === undefined ? null : JSON.parse(text));

export const recordOf = (text: string | null | undefined): UserRecord | undefined => {
  if (text === null || text === undefined) return undefined;
  const { j, q, c } = record.parse(JSON.parse(text));
  const connections = c.map(([socketId, { j: since, s: lastSeen, a }]) => ({
    socketId,
    joinedAt: since,
    lastSeen,
    activity: parseJson(a),
  }));
  return { joinedAt: j, joinedSequence: q, connections };
};

const entry = z
  .tuple([z.string(), z.array(z.string())])
  .transform(([id, fields]) => ({
    sequence: Number.parseInt(id, 10),
    ...Object.fromEntries(Array.from({ length: fields.length / 2 }, (_, at) => [fields[at * 2], fields[at * 2 + 1]])),
  }))
  .pipe(
    z.object({
      sequence: z.number(),
      type: z.enum(['joined', 'left']),
      user: z.string(),
      socket: z.string(),
      reason: z.enum(['removed', 'expired', '']),
      at: time,
    }),
  )
  .transform(({ user, socket, reason, ...event }): PresenceEvent => ({
    ...event,
    userId: user,
    socketId: socket,
    reason: reason === '' ? null : reason,
  }));

/** First sequence, last sequence, events. */
export const eventsReply = z.tuple([z.coerce.number(), z.coerce.number(), z.array(entry)]);
