import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll } from 'vitest';
import { z } from 'zod';
import { createServer, type Server, type ServerOptions } from '../../src/api/server.ts';
import { defineSaga } from '../../src/domain/sagas/define-saga.ts';
import { loadConfig } from '../../src/lib/config/load-config.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { createPlatform, type Platform } from '../../src/platform.ts';
import { defineJob } from '../../src/queues/define-job.ts';
import { useDatabase, type TestDatabase } from '../services/database.ts';

/** An app's own job, whose payload has rules. */
const greet = defineJob({
  name: 'app.greet',
  payload: z.object({
    to: z.string().min(1).max(20),
    times: z.int().min(1).default(1),
    workspaceId: z.uuid().optional(),
  }),
  attempts: 3,
});

/** Hides parts of what it carries. */
const signUp = defineJob({
  name: 'app.sign-up',
  payload: z.object({ user: z.string(), login: z.object({ mail: z.string(), pin: z.string() }) }),
  redact: ['login.mail'],
  encrypt: ['login.pin'],
  redactResult: ['token'],
});

/** Goes straight to its queue, around the ledger. */
export const warm = defineJob({
  name: 'app.warm',
  queue: 'default',
  payload: z.object({ key: z.string() }),
  durability: 'queue',
});

const keysOfTests = { TREADLE_ENCRYPTION_KEYS: `test:${randomBytes(32).toString('base64')}` };

/** Whatever JSON an answer carries. */
type Body = ReturnType<typeof JSON.parse>;

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | number | undefined>>;
  readonly body: Body;
}

export interface Call {
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is. */
  readonly raw?: string;
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface TestApi {
  readonly platform: Platform;
  readonly server: Server;
  readonly database: TestDatabase;
  call(method: Method, url: string, call?: Call): Promise<Answer>;
  /** Makes a key and answers its secret. */
  key(
    scopes: readonly string[],
    bound?: { workspaceId?: string | undefined; userId?: string | undefined },
  ): Promise<string>;
  /** Waits until `look` answers something, for up to ten seconds. */
  until<T>(look: () => Promise<T | undefined | false>): Promise<T>;
}

/** Its worker would do something, if there were one. */
const greetTwice = defineSaga({
  name: 'app.greet-twice',
  input: z.object({ to: z.string().min(1).max(20), times: z.int().min(1).default(1) }),
  steps: [
    { name: 'first', execute: () => Promise.resolve('hello') },
    { name: 'second', transactional: true, execute: () => Promise.resolve(null) },
  ],
});

export interface UseApiOptions extends ServerOptions {
  readonly env?: Readonly<Record<string, string>>;
}

const parse = (text: string): Body => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

const leaveOpen = (): Promise<void> => Promise.resolve();

/** The HTTP server over a platform over a database of the file's own. Nothing works on jobs. */
export const useApi = ({ env = {}, ...options }: UseApiOptions = {}): TestApi => {
  const database = useDatabase();
  let platform: Platform;
  let server: Server;
  let keys = 0;
  beforeAll(async () => {
    const { url } = database;
    const config = loadConfig({
      DATABASE_URL: url,
      TREADLE_PORT: '0',
      DATABASE_POOL_SIZE: '5',
      ...keysOfTests,
      ...env,
    });
    platform = await createPlatform(
      config,
      createLog({ level: 'silent' }),
      { url, directUrl: url, embedded: false, close: leaveOpen },
      { contracts: [greet, signUp, warm], sagas: [greetTwice] },
    );
    server = await createServer(platform, options);
  });
  afterAll(async () => {
    await server?.close();
    await platform?.close();
  });
  return {
    get platform() {
      return platform;
    },
    get server() {
      return server;
    },
    database,
    call: async (method, url, { key, headers = {}, body, raw } = {}) => {
      const response = await server.app.inject({
        method,
        url,
        headers: {
          host: 'localhost',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
          ...headers,
        },
        ...(raw !== undefined ? { payload: raw } : body === undefined ? {} : { payload: JSON.stringify(body) }),
      });
      return { status: response.statusCode, headers: response.headers, body: parse(response.payload) };
    },
    key: async (scopes, bound = {}) => {
      keys += 1;
      const { secret } = await server.keys.create({ name: `key ${keys}`, scopes, ...bound });
      return secret;
    },
    until: async (look) => {
      const deadline = Date.now() + 10_000;
      for (;;) {
        const found = await look();
        if (found !== undefined && found !== false) return found;
        if (Date.now() > deadline) throw new Error('it did not happen within ten seconds');
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
  };
};
