import { startInDocker } from './docker.ts';
import { findRedisProgram } from './redis-program.ts';
import type { MissingService } from './service.ts';

/** Either a program, of which each test file starts its own, or a server that they share. */
export type RedisSource =
  | { readonly kind: 'program'; readonly program: string; readonly origin: string }
  | { readonly kind: 'server'; readonly url: string; readonly origin: string };

export interface FoundRedis {
  readonly source: RedisSource;
  stop(): Promise<void>;
}

/** What tests that start servers of their own lack where there is no program. */
export const missingProgram =
  'no redis-server on the path, and no Maven to get one.\n    apt-get install redis-server (or: brew install redis)';

const nothingToStop = (): Promise<void> => Promise.resolve();

/** REDIS_URL, else a redis-server program, else Docker. */
export const findRedis = async (): Promise<FoundRedis | MissingService> => {
  const url = process.env['REDIS_URL'];
  if (url) {
    return { source: { kind: 'server', url, origin: `REDIS_URL (${new URL(url).host})` }, stop: nothingToStop };
  }
  const found = await findRedisProgram();
  if (found) return { source: { kind: 'program', ...found }, stop: nothingToStop };
  const container = await startInDocker({
    service: 'redis',
    port: 6_379,
    environment: {},
    command: ['redis-server', '--save', '', '--databases', '64'],
    ready: ['redis-cli', 'ping'],
    url: (address) => `redis://${address}`,
  });
  if (container) {
    return { source: { kind: 'server', url: container.url, origin: container.origin }, stop: () => container.stop() };
  }
  return {
    missing:
      'no redis-server on the path, and neither Maven nor a Docker daemon to get one.\n' +
      '    apt-get install redis-server (or: brew install redis), or set REDIS_URL to a Redis that may be written to.',
  };
};
