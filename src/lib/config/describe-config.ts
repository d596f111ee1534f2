import type { Config } from './load-config.ts';

/** Passwords stand between the colon and the at sign, in each of several URLs. */
const maskUrl = (url: string | undefined): string | undefined => url?.replaceAll(/(\/\/[^:@/,]*):[^@/,]*@/g, '$1:***@');

/** The configuration as it may be printed: passwords and keys masked. */
export const describeConfig = (config: Config): Record<string, unknown> => ({
  ...config,
  database: {
    ...config.database,
    url: maskUrl(config.database.url) ?? 'embedded',
    directUrl: maskUrl(config.database.directUrl),
    replicaUrl: maskUrl(config.database.replicaUrl),
  },
  redis: { url: maskUrl(config.redis.url), cacheUrl: maskUrl(config.redis.cacheUrl) },
  openai: { ...config.openai, apiKey: config.openai.apiKey === undefined ? undefined : '***' },
  apiKeys: config.apiKeys.map((key) => ({ name: key.name, scopes: key.scopes })),
});
