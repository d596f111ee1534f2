import fs from 'node:fs';
import os from 'node:os';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import type { BenchServers } from './servers.ts';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly versions: Readonly<Record<string, string>>;
}

/** Of the last minute, five and fifteen. */
export const load = (): readonly number[] => os.loadavg().map((value) => Math.round(value * 10) / 10);

const packageVersion = (name: string): string => {
  const file = new URL(`../node_modules/${name}/package.json`, import.meta.url);
  const { version } = JSON.parse(fs.readFileSync(file, 'utf8')) as { readonly version: string };
  return version;
};

const postgresVersion = async (url: string): Promise<string> => {
  const client = new Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
  await client.end();
  return rows[0]?.server_version ?? '';
};

const redisVersion = async (url: string): Promise<string> => {
  const redis = new Redis(url);
  const info = await redis.info('server');
  redis.disconnect();
  return /redis_version:(\S+)/.exec(info)?.[1] ?? '';
};

export const describeMachine = async ({
  postgresUrl,
  redisUrl,
}: Pick<BenchServers, 'postgresUrl' | 'redisUrl'>): Promise<Machine> => ({
  cpu: os.cpus()[0]?.model ?? 'unknown',
  cores: os.cpus().length,
  memoryGb: Math.round(os.totalmem() / 2 ** 30),
  versions: {
    node: process.versions.node,
    postgres: await postgresVersion(postgresUrl),
    ...(redisUrl === undefined ? {} : { redis: await redisVersion(redisUrl) }),
    bullmq: packageVersion('bullmq'),
    bentocache: packageVersion('bentocache'),
    ioredis: packageVersion('ioredis'),
    'pg-boss': packageVersion('pg-boss'),
    'graphile-worker': packageVersion('graphile-worker'),
  },
});
