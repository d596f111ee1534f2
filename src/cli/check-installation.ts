import type { Config } from '../lib/config/load-config.ts';
import { toAppError } from '../lib/errors/classify.ts';
import type { Log } from '../lib/log/create-log.ts';

export interface InstallationCheck {
  readonly name: string;
  /** `absent`: not configured, and not needed. */
  readonly status: 'ok' | 'absent' | 'failed';
  readonly detail: string;
}

type Attempt = () => Promise<Pick<InstallationCheck, 'status' | 'detail'>>;

const attempt = async (name: string, work: Attempt): Promise<InstallationCheck> => {
  try {
    return { name, ...(await work()) };
  } catch (error) {
    return { name, status: 'failed', detail: toAppError(error).message };
  }
};

const ok = (detail: string): Pick<InstallationCheck, 'status' | 'detail'> => ({ status: 'ok', detail });
const absent = (detail: string): Pick<InstallationCheck, 'status' | 'detail'> => ({ status: 'absent', detail });

const checkSchemaAt = async (url: string): Promise<Pick<InstallationCheck, 'status' | 'detail'>> => {
  const { checkSchema } = await import('../queues/migrations/migrate-all.ts');
  await checkSchema(url);
  return ok('up to date');
};

const checkConfigured = async (config: Config, url: string): Promise<readonly InstallationCheck[]> => {
  const { checkConnection } = await import('../lib/postgres/check-connection.ts');
  const { directUrl = url, replicaUrl = url } = config.database;
  const connect = (variable: string, address: string): Promise<InstallationCheck> =>
    attempt(variable, async () => {
      await checkConnection(variable, address);
      return ok('connected');
    });
  const checks = [await connect('DATABASE_URL', url)];
  if (directUrl !== url) checks.push(await connect('DATABASE_DIRECT_URL', directUrl));
  if (replicaUrl !== url) checks.push(await connect('DATABASE_REPLICA_URL', replicaUrl));
  if (checks.some((check) => check.status === 'failed')) return checks;
  return [...checks, await attempt('schema', () => checkSchemaAt(directUrl))];
};

const checkEmbedded = async (dataDir: string): Promise<readonly InstallationCheck[]> => {
  const { findServer } = await import('../lib/embedded/attach-to-server.ts');
  let url: string | undefined;
  const server = await attempt('embedded Postgres', async () => {
    url = await findServer(dataDir);
    return url === undefined
      ? absent(`not running in ${dataDir}; it is started when needed`)
      : ok(`running in ${dataDir}`);
  });
  const running = url;
  return running === undefined ? [server] : [server, await attempt('schema', () => checkSchemaAt(running))];
};

const checkRedis = async (variable: string, url: string | undefined, log: Log): Promise<InstallationCheck> =>
  attempt(variable, async () => {
    if (url === undefined) return absent('queues run on Postgres');
    const { connectRedis } = await import('../lib/redis/connect-redis.ts');
    const client = await connectRedis(url, 'queue', log);
    try {
      await client.ping();
      return ok('connected');
    } finally {
      client.disconnect();
    }
  });

/** Connects to every server the configuration names, and changes nothing. Answers what was found, failures included. */
export const checkInstallation = async (config: Config, log: Log): Promise<readonly InstallationCheck[]> => {
  const { url } = config.database;
  const { cacheUrl } = config.redis;
  return [
    ...(url === undefined ? await checkEmbedded(config.dataDir) : await checkConfigured(config, url)),
    await checkRedis('REDIS_URL', config.redis.url, log),
    ...(cacheUrl === undefined || cacheUrl === config.redis.url
      ? []
      : [await checkRedis('REDIS_CACHE_URL', cacheUrl, log)]),
    {
      name: 'embedder',
      status: 'ok',
      detail: config.openai.apiKey === undefined ? 'local (OPENAI_API_KEY is not set)' : config.embedding.model,
    },
  ];
};
