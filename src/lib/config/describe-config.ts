import type { Config } from './load-config.ts';

const maskUrl = (url: string | undefined): string | undefined =>
  url
    ?.split(',')
    .map((part) => {
      const parsed = new URL(part.trim());
      if (parsed.password) parsed.password = '***';
      return parsed.href;
    })
    .join(',');

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
