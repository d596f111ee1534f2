import { setTimeout as delay } from 'node:timers/promises';
import { backfillIndex } from '../../domain/search/indexes/backfill-index.ts';
import { withIndexLock } from '../../domain/search/indexes/index-lock.ts';
import { rebuildIndex } from '../../domain/search/indexes/rebuild-index.ts';
import type { SearchIndex } from '../../domain/search/indexes/search-index.ts';
import { verifyIndex, type Verification } from '../../domain/search/indexes/verify-index.ts';
import type { Platform } from '../../platform.ts';
import { handle } from '../../queues/handle.ts';
import { completed, deferred, type Outcome } from '../../queues/outcome.ts';
import { backfillIndexJob, rebuildIndexJob, repairIndexJob, verifyIndexJob } from './contract.ts';

const againMs = 5_000;

/** Only one job at a time works on an index; the others wait their turn, at no cost of an attempt. */
const alone = async <R>(
  { postgres }: Pick<Platform, 'postgres'>,
  name: string,
  work: () => Promise<R>,
): Promise<Outcome<R>> => {
  const locked = await withIndexLock(postgres, name, work);
  return locked ? completed(locked.done) : deferred(new Date(Date.now() + againMs));
};

export const rebuildIndexHandler = handle(rebuildIndexJob, async ({ payload, platform, signal, progress }) => {
  const index = platform.indexes.get(payload.index);
  return alone(platform, index.name, () =>
    rebuildIndex(index, {
      reason: payload.reason,
      signal,
      onProgress: progress,
      onFailed: (failed) => platform.keepRefused(index.name, failed),
    }),
  );
});

export const backfillIndexHandler = handle(backfillIndexJob, async ({ payload, platform, signal, progress }) => {
  const index = platform.indexes.get(payload.index);
  return alone(platform, index.name, async () => {
    const { source, states, db, name } = index;
    const total = Math.max(1, await source.count(db));
    const { written, stale, failed } = await backfillIndex(index, {
      alias: source.definition.names.alias,
      after: await states.readBackfill(name),
      signal,
      onCursor: (cursor) => states.noteBackfill(name, cursor),
      onProgress: (documents) => progress(Math.min(0.999, documents / total), `${documents} of ${total} written`),
    });
    await states.noteBackfill(name, undefined);
    await platform.keepRefused(name, failed);
    return { written, stale: stale.length, failed: failed.length };
  });
});

interface Control {
  readonly signal: AbortSignal;
  readonly ratePerSecond?: number;
  readonly progress: (fraction: number, note?: string) => void;
}

type Summary = Omit<Verification, 'found' | 'refused'> & { readonly index: string };

const verifyOne = async (
  { log, enqueuer }: Pick<Platform, 'log' | 'enqueuer'>,
  index: SearchIndex,
  { signal, ratePerSecond, progress }: Control,
): Promise<Summary> => {
  // Nobody need have written since somebody took an index or an alias away.
  if ((await index.reconcile()) === 'missing') {
    await enqueuer.enqueue(rebuildIndexJob, { index: index.name, reason: 'the index was deleted' });
  }
  const total = Math.max(1, await index.source.count(index.db));
  const { found, refused, ...summary } = await verifyIndex(index, {
    alias: index.source.definition.names.alias,
    signal,
    repair: true,
    ratePerSecond,
    onProgress: (documents) => progress(Math.min(0.999, documents / total), `${documents} of ${total} compared`),
  });
  const differences = summary.missing + summary.different + summary.surplus;
  await index.states.noteVerification(index.name, differences);
  if (differences > 0)
    log.error({
      event: 'search.index-differed',
      index: index.name,
      ...summary,
      refused: refused.length,
      found: found.slice(0, 10),
    });
  return { index: index.name, ...summary };
};

/** One that is not live yet is compared when it becomes so. */
const isLive = async ({ states, name }: SearchIndex): Promise<boolean> => (await states.read(name))?.live != null;

export const verifyIndexHandler = handle(verifyIndexJob, async ({ payload, platform, signal, progress }) => {
  const { index: name, ratePerSecond } = payload;
  const summaries: Summary[] = [];
  for (const index of name === undefined ? platform.indexes.all() : [platform.indexes.get(name)]) {
    if (!(await isLive(index))) continue;
    for (;;) {
      const locked = await withIndexLock(platform.postgres, index.name, () =>
        verifyOne(platform, index, { signal, ratePerSecond, progress }),
      );
      if (locked) summaries.push(locked.done);
      if (locked) break;
      await delay(againMs, undefined, { signal });
    }
  }
  return completed({ indexes: summaries });
});

export const repairIndexHandler = handle(repairIndexJob, async ({ payload, platform, signal, progress }) => {
  const index = platform.indexes.get(payload.index);
  return alone(platform, index.name, () => verifyOne(platform, index, { signal, progress }));
});
