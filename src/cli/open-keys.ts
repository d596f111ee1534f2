import type { KeyService } from '../domain/access/service.ts';
import type { Platform } from '../platform.ts';

/** The keys of the HTTP API: those in the database and those of TREADLE_API_KEYS. */
export const openKeys = async ({ postgres, config }: Platform): Promise<KeyService> => {
  const { KeyService } = await import('../domain/access/service.ts');
  return new KeyService(postgres, config.apiKeys);
};
