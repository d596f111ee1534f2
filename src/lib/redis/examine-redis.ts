import { withTimeout } from '../batching/with-timeout.ts';
import { codeOf } from '../errors/classify.ts';
import type { RedisClient } from './connect-redis.ts';

/** What servers say about themselves; of several nodes, what one of them says that the others do not. */
export interface RedisFacts {
  readonly isClusterNode: boolean;
  readonly isReadOnly: boolean;
  /** `maxmemory-policy`: the first that evicts. Undefined when the user may not ask. */
  readonly evictionPolicy: string | undefined;
}

const answerWithinMs = 5_000;

const fieldsOf = (info: string): ReadonlyMap<string, string> =>
  new Map(
    info.split('\r\n').flatMap((line): [string, string][] => {
      const colon = line.indexOf(':');
      return colon < 0 ? [] : [[line.slice(0, colon), line.slice(colon + 1)]];
    }),
  );

/** INFO says it too where the user, or the provider, forbids CONFIG. */
const policyOf = async (client: {
  config(get: 'GET', name: string): Promise<unknown>;
}): Promise<string | undefined> => {
  const reply = await client.config('GET', 'maxmemory-policy').catch(() => undefined);
  return Array.isArray(reply) && typeof reply[1] === 'string' ? reply[1] : undefined;
};

/** Asks each master what it is. What the user may not ask stays unknown. */
export const examineRedis = async (client: RedisClient): Promise<RedisFacts> => {
  const nodes = 'nodes' in client ? client.nodes('master') : [client];
  const all = await withTimeout(
    Promise.all(
      nodes.map(async (node) => {
        const fields = fieldsOf(await node.info().catch(() => ''));
        return { fields, policy: fields.get('maxmemory_policy') ?? (await policyOf(node)) };
      }),
    ),
    answerWithinMs,
    'Redis',
  ).catch((error: unknown) => {
    if (codeOf(error) === 'TIMEOUT') return [];
    throw error;
  });
  const policies = all.flatMap(({ policy }) => policy ?? []);
  return {
    isClusterNode: all.some(({ fields }) => fields.get('cluster_enabled') === '1'),
    isReadOnly: all.some(({ fields }) => fields.get('role') === 'slave' && fields.get('slave_read_only') !== '0'),
    evictionPolicy: policies.find((policy) => policy !== 'noeviction') ?? policies[0],
  };
};

/** What is wrong with a Redis for queues, in a sentence; undefined when nothing is. */
export const evictionWarning = ({ evictionPolicy }: RedisFacts): string | undefined => {
  if (evictionPolicy === 'noeviction') return undefined;
  return evictionPolicy === undefined
    ? 'its maxmemory-policy is unknown, since the user may neither INFO nor CONFIG GET: it must be noeviction'
    : `its maxmemory-policy is ${evictionPolicy}: when memory runs out it throws away parts of queues. Set it to noeviction, or name another Redis for queues`;
};
