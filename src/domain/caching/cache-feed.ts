import type { CacheEar } from '../../lib/cache/create-cache.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { Subscription } from '../../lib/postgres/subscription.ts';
import { cacheChange, type CacheChange } from './cache-change.ts';
import type { CacheInvalidation } from './cache-invalidation.ts';

/** On which triggers of migration 032, where there is no change stream, and else the stream's sink tell of changes. */
export const cacheChannel = 'treadle_cache_changes';

export interface CacheFeedParts {
  readonly postgres: Queryable;
  readonly subscription: Pick<Subscription, 'listen'>;
  readonly invalidation: CacheInvalidation;
  readonly log: Log;
}

interface Heard {
  readonly change: CacheChange;
  /** Entries were invalidated by who says it. */
  readonly told: boolean;
}

const read = (text: string): Heard | undefined => {
  try {
    const parsed: unknown = JSON.parse(text);
    const change = cacheChange.safeParse(parsed);
    if (!change.success) return undefined;
    return { change: change.data, told: typeof parsed === 'object' && parsed !== null && 'told' in parsed };
  } catch {
    return undefined;
  }
};

const apart = (work: Promise<unknown>, log: Log): void => {
  work.catch((error: unknown) => log.warn({ event: 'cache.change-not-applied', err: error }));
};

/** Hears what was committed by whichever program, and has the cache forget it. */
export const cacheFeed = ({ postgres, subscription, invalidation, log }: CacheFeedParts): CacheEar => ({
  name: 'changes',
  open: async (setHearing) => {
    /** What was said meanwhile nobody heard; the stream's sink says it to the cache itself, whoever listens here. */
    const catchUp = async (): Promise<void> => {
      setHearing(false);
      const { rows } = await postgres.query<{ told: boolean }>('SELECT treadle.caches_are_told() AS told');
      if (rows[0]?.told !== true) await invalidation.handleChange({ kind: 'everything' }, { tell: false });
      setHearing(true);
    };
    const stop = await subscription.listen(
      cacheChannel,
      (text) => {
        const heard = read(text);
        if (!heard) return;
        apart(
          heard.told
            ? invalidation.triggerRules(heard.change)
            : invalidation.handleChange(heard.change, { tell: false }),
          log,
        );
      },
      () => apart(catchUp(), log),
    );
    setHearing(true);
    return stop;
  },
});
