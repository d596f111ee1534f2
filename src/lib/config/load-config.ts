import os from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import { AppError } from '../errors/app-error.ts';
import { parseRedisUrl, RedisUrlFault } from '../redis/parse-redis-url.ts';
import { parseApiKeys, type ConfiguredKey } from './api-keys.ts';
import { parseEncryptionKeys, type EncryptionKey } from './encryption-keys.ts';
import { parseRetention, type Retention } from './retention.ts';

export const roles = ['api', 'worker', 'scheduler', 'replicator'] as const;
export type Role = (typeof roles)[number];

export interface Config {
  readonly database: {
    /** Undefined means the embedded Postgres of `dataDir`. */
    readonly url: string | undefined;
    readonly directUrl: string | undefined;
    /** Servers that follow the first, for reads. */
    readonly replicaUrls: readonly string[];
    readonly poolSize: number;
    readonly statementTimeoutMs: number;
  };
  readonly redis: {
    readonly url: string | undefined;
    readonly cacheUrl: string | undefined;
    /** PEM files for `rediss:`; undefined leaves it to Node.js. */
    readonly tls: {
      readonly ca: string | undefined;
      readonly cert: string | undefined;
      readonly key: string | undefined;
    };
  };
  /** Undefined: searches are answered by Postgres. */
  readonly elasticsearch:
    | {
        readonly url: string;
        readonly credentials:
          | { readonly apiKey: string }
          | { readonly username: string; readonly password: string }
          | undefined;
        /** A PEM file. */
        readonly ca: string | undefined;
        /** Before the names of all indices. */
        readonly prefix: string;
      }
    | undefined;
  readonly queueBackend: 'redis' | 'postgres';
  /** Of sessions, presence and locks. */
  readonly kvBackend: 'redis' | 'postgres';
  readonly openai: {
    readonly apiKey: string | undefined;
    readonly baseUrl: string | undefined;
    /** Of all processes together; undefined: as many as there are. */
    readonly requestsPerMinute: number | undefined;
  };
  readonly embedding: { readonly model: string; readonly dimensions: number };
  readonly http: {
    readonly host: string;
    readonly port: number;
    readonly healthPort: number | undefined;
    readonly maxBodyBytes: number;
  };
  readonly dataDir: string;
  readonly roles: readonly Role[];
  /** Modules with an app's own jobs: paths or package names, as seen from the working directory. */
  readonly jobs: readonly string[];
  /** Modules with an app's own indexes. */
  readonly indexes: readonly string[];
  /** Queues this process works on; undefined means all. */
  readonly queues: readonly string[] | undefined;
  /** Jobs run at once per queue; undefined leaves each queue's own. */
  readonly concurrency: number | undefined;
  readonly migrate: 'auto' | 'refuse';
  readonly retention: Retention;
  readonly apiKeys: readonly ConfiguredKey[];
  /** The first encrypts, all decrypt. */
  readonly encryptionKeys: readonly EncryptionKey[];
  /** The API reads what will be asked for when it starts. */
  readonly cacheWarmOnStart: boolean;
  readonly shutdownGraceMs: number;
  /** Traces are sent to `endpoint`, an OTLP receiver; undefined: nowhere. */
  readonly tracing: { readonly endpoint: string | undefined; readonly serviceName: string };
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
}

const blankAsUnset = (value: unknown): unknown =>
  typeof value === 'string' && value.trim() === '' ? undefined : value;
const optional = <T extends z.ZodType>(schema: T) => z.preprocess(blankAsUnset, schema.optional());
const withDefault = <T extends z.ZodType>(schema: T, value: z.output<T>) =>
  z.preprocess(blankAsUnset, schema.optional()).transform((given): z.output<T> => given ?? value);

const urlOf = (protocols: readonly string[]) =>
  z.string().refine((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol), {
    message: `must be a URL that starts with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`,
  });
const postgresUrl = urlOf(['postgres:', 'postgresql:']);
const redisUrl = z.string().superRefine((text, context) => {
  try {
    parseRedisUrl(text);
  } catch (error) {
    if (!(error instanceof RedisUrlFault)) throw error;
    context.addIssue({ code: 'custom', message: error.message });
  }
});
const integer = (min: number, max: number) =>
  z.string().transform((text, context) => {
    const value = /^\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    context.addIssue({ code: 'custom', message: `must be a whole number from ${min} to ${max}` });
    return z.NEVER;
  });
const list = z.string().transform((text) =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean),
);
const postgresUrls = list.superRefine((urls, context) => {
  for (const [index, url] of urls.entries()) {
    const fault = postgresUrl.safeParse(url).error?.issues[0]?.message;
    if (fault !== undefined) context.addIssue({ code: 'custom', message: `entry ${index + 1} ${fault}` });
  }
});
const roleList = list.pipe(
  z.array(z.enum(roles, { message: `must be a comma-separated list of ${roles.join(', ')}` })).min(1),
);

const flag = z.enum(['true', 'false'], { message: 'must be true or false' }).transform((text) => text === 'true');
const backend = z.enum(['redis', 'postgres'], { message: 'must be redis or postgres' });

const variables = z.object({
  DATABASE_URL: optional(postgresUrl),
  DATABASE_DIRECT_URL: optional(postgresUrl),
  DATABASE_REPLICA_URL: withDefault(postgresUrls, []),
  DATABASE_POOL_SIZE: withDefault(integer(2, 1_000), 20),
  DATABASE_STATEMENT_TIMEOUT_MS: withDefault(integer(0, 86_400_000), 30_000),
  REDIS_URL: optional(redisUrl),
  REDIS_CACHE_URL: optional(redisUrl),
  REDIS_CA: optional(z.string()),
  REDIS_CERT: optional(z.string()),
  REDIS_KEY: optional(z.string()),
  TREADLE_QUEUE_BACKEND: optional(backend),
  TREADLE_KV_BACKEND: optional(backend),
  ELASTICSEARCH_URL: optional(urlOf(['http:', 'https:'])),
  ELASTICSEARCH_API_KEY: optional(z.string()),
  ELASTICSEARCH_USERNAME: optional(z.string()),
  ELASTICSEARCH_PASSWORD: optional(z.string()),
  ELASTICSEARCH_CA: optional(z.string()),
  ELASTICSEARCH_PREFIX: withDefault(
    z.string().regex(/^[a-z0-9][a-z0-9-]{0,49}$/, {
      message: 'must be up to 50 lower case letters, digits and dashes, and begin with none',
    }),
    '',
  ),
  OPENAI_API_KEY: optional(z.string()),
  OPENAI_BASE_URL: optional(urlOf(['http:', 'https:'])),
  OPENAI_REQUESTS_PER_MINUTE: optional(integer(1, 1_000_000)),
  TREADLE_EMBEDDING_MODEL: withDefault(z.string(), 'text-embedding-3-small'),
  TREADLE_EMBEDDING_DIMENSIONS: withDefault(integer(8, 4_096), 1_536),
  TREADLE_HOST: withDefault(z.string(), '127.0.0.1'),
  TREADLE_PORT: withDefault(integer(0, 65_535), 4_700),
  TREADLE_HEALTH_PORT: optional(integer(0, 65_535)),
  TREADLE_DATA_DIR: withDefault(z.string(), '.treadle'),
  TREADLE_ROLES: withDefault(roleList, [...roles]),
  TREADLE_JOBS: withDefault(list, []),
  TREADLE_INDEXES: withDefault(list, []),
  TREADLE_QUEUES: optional(list.pipe(z.array(z.string()).min(1))),
  TREADLE_CONCURRENCY: optional(integer(1, 10_000)),
  TREADLE_MIGRATE: optional(z.enum(['auto', 'refuse'], { message: 'must be auto or refuse' })),
  TREADLE_RETENTION: withDefault(parseRetention, parseRetention.parse('')),
  TREADLE_API_KEYS: withDefault(parseApiKeys, []),
  TREADLE_ENCRYPTION_KEYS: withDefault(parseEncryptionKeys, []),
  TREADLE_MAX_BODY_BYTES: withDefault(integer(1_024, 1_073_741_824), 1_048_576),
  TREADLE_CACHE_WARM_ON_START: withDefault(flag, false),
  TREADLE_SHUTDOWN_GRACE_MS: withDefault(integer(0, 3_600_000), 25_000),
  OTEL_EXPORTER_OTLP_ENDPOINT: optional(urlOf(['http:', 'https:'])),
  OTEL_SERVICE_NAME: withDefault(z.string(), 'treadle'),
  LOG_LEVEL: withDefault(
    z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
      message: 'must be trace, debug, info, warn, error, fatal or silent',
    }),
    'info',
  ),
});
type Variables = z.output<typeof variables>;

/** The name of every variable that `loadConfig` reads. */
export const variableNames: readonly string[] = Object.keys(variables.shape);
export type VariableName = keyof Variables;

const faultsAcross = (env: Variables): { variable: string; message: string }[] => {
  const found: { variable: string; message: string }[] = [];
  const needing = (['TREADLE_QUEUE_BACKEND', 'TREADLE_KV_BACKEND'] as const).filter((name) => env[name] === 'redis');
  if (needing.length > 0 && env.REDIS_URL === undefined) {
    found.push({ variable: 'REDIS_URL', message: `must be set when ${needing.join(' or ')} is redis` });
  }
  for (const variable of ['DATABASE_DIRECT_URL', 'DATABASE_REPLICA_URL'] as const) {
    if ((env[variable]?.length ?? 0) > 0 && env.DATABASE_URL === undefined) {
      found.push({ variable, message: 'needs DATABASE_URL as well' });
    }
  }
  if (env.ELASTICSEARCH_URL === undefined) {
    for (const variable of ['ELASTICSEARCH_API_KEY', 'ELASTICSEARCH_USERNAME', 'ELASTICSEARCH_CA'] as const) {
      if (env[variable] !== undefined) found.push({ variable, message: 'needs ELASTICSEARCH_URL as well' });
    }
    if (env.TREADLE_INDEXES.length > 0) {
      found.push({ variable: 'ELASTICSEARCH_URL', message: 'must be set with TREADLE_INDEXES' });
    }
  }
  if ((env.ELASTICSEARCH_USERNAME === undefined) !== (env.ELASTICSEARCH_PASSWORD === undefined)) {
    const [missing, given] =
      env.ELASTICSEARCH_USERNAME === undefined
        ? (['ELASTICSEARCH_USERNAME', 'ELASTICSEARCH_PASSWORD'] as const)
        : (['ELASTICSEARCH_PASSWORD', 'ELASTICSEARCH_USERNAME'] as const);
    found.push({ variable: missing, message: `must be set with ${given}` });
  }
  if (env.ELASTICSEARCH_API_KEY !== undefined && env.ELASTICSEARCH_USERNAME !== undefined) {
    found.push({ variable: 'ELASTICSEARCH_API_KEY', message: 'cannot be given beside ELASTICSEARCH_USERNAME' });
  }
  if ((env.REDIS_CERT === undefined) !== (env.REDIS_KEY === undefined)) {
    const [missing, given] = env.REDIS_CERT === undefined ? ['REDIS_CERT', 'REDIS_KEY'] : ['REDIS_KEY', 'REDIS_CERT'];
    found.push({ variable: missing, message: `must be set with ${given}` });
  }
  return found;
};

const elasticsearchOf = (read: Variables): Config['elasticsearch'] => {
  const {
    ELASTICSEARCH_URL: url,
    ELASTICSEARCH_API_KEY: apiKey,
    ELASTICSEARCH_USERNAME: username,
    ELASTICSEARCH_PASSWORD: password,
  } = read;
  if (url === undefined) return undefined;
  const credentials =
    apiKey === undefined
      ? username === undefined || password === undefined
        ? undefined
        : { username, password }
      : { apiKey };
  return { url, credentials, ca: read.ELASTICSEARCH_CA, prefix: read.ELASTICSEARCH_PREFIX };
};

const refuse = (faults: readonly { variable: string; message: string }[]): never => {
  throw new AppError(
    'CONFIGURATION_ERROR',
    `the configuration has ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}:\n${faults.map((fault) => `  ${fault.variable} ${fault.message}`).join('\n')}`,
    { faults: [...faults] },
  );
};

const deepFreeze = <T>(value: T): T => {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
};

const expandHome = (folder: string): string => path.resolve(folder.replace(/^~(?=\/|$)/, os.homedir()));

/**
 * Reads the whole configuration from `env`, once. Pure: nothing is opened or written.
 * @throws AppError CONFIGURATION_ERROR listing every fault by variable name; values are never repeated.
 */
export const loadConfig = (env: Readonly<Record<string, string | undefined>>): Config => {
  const parsed = variables.safeParse(env);
  if (!parsed.success) {
    return refuse(parsed.error.issues.map((issue) => ({ variable: String(issue.path[0]), message: issue.message })));
  }
  const read = parsed.data;
  const faults = faultsAcross(read);
  if (faults.length > 0) return refuse(faults);
  return deepFreeze<Config>({
    database: {
      url: read.DATABASE_URL,
      directUrl: read.DATABASE_DIRECT_URL ?? read.DATABASE_URL,
      replicaUrls: read.DATABASE_REPLICA_URL,
      poolSize: read.DATABASE_POOL_SIZE,
      statementTimeoutMs: read.DATABASE_STATEMENT_TIMEOUT_MS,
    },
    redis: {
      url: read.REDIS_URL,
      cacheUrl: read.REDIS_CACHE_URL ?? read.REDIS_URL,
      tls: { ca: read.REDIS_CA, cert: read.REDIS_CERT, key: read.REDIS_KEY },
    },
    elasticsearch: elasticsearchOf(read),
    queueBackend: read.TREADLE_QUEUE_BACKEND ?? (read.REDIS_URL ? 'redis' : 'postgres'),
    kvBackend: read.TREADLE_KV_BACKEND ?? (read.REDIS_URL ? 'redis' : 'postgres'),
    openai: {
      apiKey: read.OPENAI_API_KEY,
      baseUrl: read.OPENAI_BASE_URL,
      requestsPerMinute: read.OPENAI_REQUESTS_PER_MINUTE,
    },
    embedding: { model: read.TREADLE_EMBEDDING_MODEL, dimensions: read.TREADLE_EMBEDDING_DIMENSIONS },
    http: {
      host: read.TREADLE_HOST,
      port: read.TREADLE_PORT,
      healthPort: read.TREADLE_HEALTH_PORT,
      maxBodyBytes: read.TREADLE_MAX_BODY_BYTES,
    },
    dataDir: expandHome(read.TREADLE_DATA_DIR),
    roles: read.TREADLE_ROLES,
    jobs: read.TREADLE_JOBS,
    indexes: read.TREADLE_INDEXES,
    queues: read.TREADLE_QUEUES,
    concurrency: read.TREADLE_CONCURRENCY,
    migrate: read.TREADLE_MIGRATE ?? (read.DATABASE_URL === undefined ? 'auto' : 'refuse'),
    retention: read.TREADLE_RETENTION,
    apiKeys: read.TREADLE_API_KEYS,
    encryptionKeys: read.TREADLE_ENCRYPTION_KEYS,
    cacheWarmOnStart: read.TREADLE_CACHE_WARM_ON_START,
    shutdownGraceMs: read.TREADLE_SHUTDOWN_GRACE_MS,
    tracing: { endpoint: read.OTEL_EXPORTER_OTLP_ENDPOINT, serviceName: read.OTEL_SERVICE_NAME },
    logLevel: read.LOG_LEVEL,
  });
};
