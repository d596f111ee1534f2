import type { TestProject } from 'vitest/node';
import { findPgbouncer, missingPgbouncer } from './pgbouncer-program.ts';
import { findBrowser, missingBrowser } from './browser-program.ts';
import { findPostgres } from './postgres-service.ts';
import { findRedisProgram } from './redis-program.ts';
import { findRedis, missingProgram, type RedisSource } from './redis-service.ts';
import { createTemplate, dropDatabase } from './template-database.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** The server, and the name of the migrated database to clone from. */
    postgres: { readonly url: string; readonly template: string };
    /** Undefined where there is none. */
    redis: RedisSource | undefined;
    /** The redis-server of this machine, for tests that start several or kill them. */
    redisProgram: string | undefined;
    /** The pgbouncer of this machine. */
    pgbouncer: string | undefined;
    /** A Chromium of this machine, for tests of pages. */
    browserProgram: string | undefined;
    /** By service: the line that would provide it. */
    missing: Readonly<Record<string, string>>;
  }
}

const refuseInCi = (missing: Readonly<Record<string, string>>): void => {
  if (process.env['CI'] !== 'true' || Object.keys(missing).length === 0) return;
  const lines = Object.entries(missing).map(([service, how]) => `${service}: ${how}`);
  throw new Error(`with CI=true every server must be there:\n${lines.join('\n')}`);
};

/** Finds the servers once for the whole run, says which it took, and ends them afterwards. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const closers: (() => Promise<void>)[] = [];
  const missing: Record<string, string> = {};
  const teardown = async (): Promise<void> => {
    for (const close of closers.toReversed()) await close();
  };
  try {
    const postgres = await findPostgres();
    closers.push(() => postgres.stop());
    const template = await createTemplate(postgres.url);
    closers.push(() => dropDatabase(postgres.url, template));
    project.provide('postgres', { url: postgres.url, template });
    console.log(`[services] Postgres: ${postgres.origin}`);
    const redis = await findRedis();
    if ('missing' in redis) missing['redis'] = redis.missing;
    else {
      closers.push(() => redis.stop());
      project.provide('redis', redis.source);
      console.log(`[services] Redis: ${redis.source.origin}`);
    }
    const found = await findRedisProgram();
    if (found) project.provide('redisProgram', found.program);
    else missing['redis-server'] = missingProgram;
    const pgbouncer = await findPgbouncer();
    if (pgbouncer !== undefined) project.provide('pgbouncer', pgbouncer);
    else missing['pgbouncer'] = missingPgbouncer;
    const browser = await findBrowser();
    if (browser !== undefined) project.provide('browserProgram', browser);
    else missing['chromium'] = missingBrowser;
    for (const service of Object.keys(missing)) console.log(`[services] ${service}: none (see the end of this run)`);
    project.provide('missing', missing);
    refuseInCi(missing);
    return teardown;
  } catch (error) {
    await teardown();
    throw error;
  }
}
