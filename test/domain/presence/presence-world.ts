import { createHash } from 'node:crypto';
import { afterAll } from 'vitest';
import type { PresenceLimits } from '../../../src/domain/presence/presence-store.ts';
import { PresenceService } from '../../../src/domain/presence/service.ts';
import type { PresenceEvent, PresenceNews } from '../../../src/domain/presence/types.ts';
import { redisKey } from '../../../src/lib/kv/redis-key.ts';
import type { Kv } from '../../../src/lib/kv/kv.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { Subscription } from '../../../src/lib/postgres/subscription.ts';
import type { TestKv } from '../../services/kv.ts';

const log = createLog({ level: 'silent' });

export interface PresenceWorld {
  /** As one process has it. */
  readonly presence: PresenceService;
  /** As another one does. */
  another(limits?: Partial<PresenceLimits>): PresenceService;
  /** Lets a connection have been silent for so long. */
  silence(documentId: string, userId: string, socketId: string, ms: number): Promise<void>;
  /** What happened in a document after a sequence. */
  eventsAfter(documentId: string, sequence: number): Promise<readonly PresenceEvent[]>;
}

/** A connection's last heartbeat is moved back; so is when its user and its document are due. */
const silenceInRedis = `
local record = cjson.decode(redis.call('HGET', KEYS[1], ARGV[1]))
record.c[ARGV[2]].s = record.c[ARGV[2]].s - ARGV[3]
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(record))
redis.call('ZINCRBY', KEYS[2], -ARGV[3], ARGV[1])
return 1`;

export const usePresence = (given: TestKv): PresenceWorld => {
  const { database } = given;
  let subscription: Subscription | undefined;
  afterAll(() => subscription?.close());
  const serviceAt = (kv: Kv, limits: Partial<PresenceLimits> = {}): PresenceService => {
    subscription ??= new Subscription(database.postgres, log);
    return new PresenceService({ kv, subscription, log, limits });
  };
  return {
    get presence() {
      return serviceAt(given.kv);
    },
    another: (limits) => serviceAt(given.another(), limits),
    silence: async (documentId, userId, socketId, ms) => {
      if (given.kv.backend === 'postgres') {
        await database.query(
          `UPDATE treadle.presence_connections SET last_seen = last_seen - make_interval(secs => $4::float8 / 1000)
           WHERE document_id = $1 AND user_id = $2 AND socket_id = $3`,
          [documentId, userId, socketId, ms],
        );
        return;
      }
      const client = await given.kv.redis.client();
      const keys = ['users', 'expiry'].map((name) => redisKey('presence', documentId, name));
      await client.eval(silenceInRedis, 2, ...keys, userId, socketId, ms);
      const shard = (createHash('sha1').update(documentId).digest()[0] ?? 0) % 16;
      const due = redisKey('presence-due', String(shard));
      // A document that is not there would never be cleaned up, and must not be because of this.
      if ((await client.zscore(due, documentId)) !== null) await client.zincrby(due, -ms, documentId);
    },
    eventsAfter: async (documentId, sequence) => {
      const stop = new AbortController();
      const news = await serviceAt(given.kv).watch(documentId, { after: sequence, signal: stop.signal });
      // Only what the first look saw.
      stop.abort();
      const seen: PresenceNews[] = [];
      for await (const item of news) seen.push(item);
      return seen.flatMap((item) => (item.kind === 'event' ? [item.event] : []));
    },
  };
};
