import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { ShownSearches } from '../../src/changes/shown-searches.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { useDatabase } from '../services/database.ts';
import { usePlatforms } from '../domain/caching/platforms.ts';

const platforms = usePlatforms(useDatabase());
const parts = (workspaceId: string) => ({ workspaceId, query: 'q', mode: 'keyword', filters: {}, permissions: [] });

test('a search is forgotten as often as the index may still not have shown the last write, and kept after that', async () => {
  const { workspaceCache, cache } = platforms.one;
  const log = createLog({ level: 'silent' });
  const shown = new ShownSearches({ cache, log, everyMs: 40, withinMs: 150 });
  const keep = (total: number) => workspaceCache.cacheSearchResults(parts('w'), { total });
  const kept = () => workspaceCache.getCachedSearchResults(parts('w'));
  shown.written(['w']);
  // The second write comes while the first is waited for.
  for (let write = 0; write < 3; write += 1) {
    shown.written(['w']);
    await keep(write);
    await expect.poll(kept, { interval: 2 }).toBeUndefined();
  }
  // The index is slow: what it still did not show was kept once more.
  await keep(3);
  await expect.poll(kept, { interval: 2 }).toBeUndefined();
  const isKept = async (): Promise<boolean> => {
    await keep(4);
    const since = performance.now();
    for (; performance.now() - since < 100; await turn()) if ((await kept()) === undefined) return false;
    return true;
  };
  await expect.poll(isKept).toBe(true);
  expect(await kept()).toEqual({ total: 4 });
});
