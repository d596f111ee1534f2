import type { StoredUser } from './presence-store.ts';
import type { PresenceConnection } from './types.ts';

const time = (date: Date): number => date.getTime();

/** A user by their connections; undefined without any. */
export const userOf = (
  userId: string,
  { joinedAt, joinedSequence }: { readonly joinedAt: Date; readonly joinedSequence: number },
  given: readonly PresenceConnection[],
): StoredUser | undefined => {
  const connections = given.toSorted(
    (a, b) => time(a.joinedAt) - time(b.joinedAt) || (a.socketId < b.socketId ? -1 : 1),
  );
  const [first] = connections;
  if (!first) return undefined;
  const latest = connections.reduce((last, next) => (time(next.lastSeen) >= time(last.lastSeen) ? next : last), first);
  const { socketId, lastSeen, activity } = latest;
  return { userId, socketId, joinedAt, lastSeen, activity, connections, joinedSequence };
};
