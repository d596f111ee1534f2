import { z } from 'zod';
import { AppError } from '../../../lib/errors/app-error.ts';
import { backfillIndex } from './backfill-index.ts';
import { isOfDefinition } from './index-definition.ts';
import type { IndexRecord } from './index-states.ts';
import { keyText } from './index-source.ts';
import type { FailedDocument } from './index-writer.ts';
import { createIndex, liveIndex, searchOnly } from './initialize-indices.ts';
import type { SearchIndex } from './search-index.ts';
import { verifyIndex } from './verify-index.ts';

export interface RebuildOptions {
  readonly reason: string;
  readonly signal: AbortSignal;
  readonly onProgress: (fraction: number, note: string) => void;
  /** Documents that Elasticsearch refuses for what is in them. */
  readonly onFailed: (failed: readonly FailedDocument[]) => Promise<void>;
  /** How long the index is waited for to follow its tables. */
  readonly patienceMs?: number;
}

export interface Rebuilt {
  readonly index: string;
  readonly documents: number;
  readonly failed: number;
  /** Found by the comparison before the swap, and put right. */
  readonly repaired: number;
}

/** The index to build: the one that an interrupted rebuild has begun, or a new one. */
const begin = async (index: SearchIndex, record: IndexRecord | undefined, reason: string): Promise<string> => {
  const { elasticsearch, source, states, name } = index;
  const { definition } = source;
  const { alias, building } = definition.names;
  await elasticsearch.checkVersion();
  const beside = await liveIndex(elasticsearch, building);
  if (record?.building && record.building === beside && isOfDefinition(beside, definition)) return beside;
  if (beside !== null) await removeIndex(index, beside);
  const live = await liveIndex(elasticsearch, alias);
  if (record?.live !== live) await states.setLive(name, live);
  const made = `${definition.names.index}-${Date.now().toString(36)}`;
  await createIndex(elasticsearch, definition, made, [building]);
  await states.beginBuilding(name, made, reason);
  return made;
};

const removeIndex = async ({ elasticsearch }: SearchIndex, index: string): Promise<void> => {
  await elasticsearch.call((client, options) =>
    client.indices.delete({ index, ignore_unavailable: true }, { ...options, ignore: [404] }),
  );
};

/** What is left of rebuilds that were killed before they removed the index they had replaced: nothing leads to it. */
const removeLeftovers = async (index: SearchIndex): Promise<void> => {
  const { elasticsearch, source } = index;
  const { alias } = source.definition.names;
  const found = await elasticsearch.call((client, options) =>
    client.indices.getAlias({ index: `${alias}-*` }, { ...options, ignore: [404] }),
  );
  for (const [name, { aliases = {} }] of Object.entries(found)) {
    const isOurs = /^-[0-9a-f]{12}(?:-[0-9a-z]{8,9})?$/.test(name.slice(alias.length));
    if (isOurs && Object.keys(aliases).length === 0) await removeIndex(index, name);
  }
};

/** From one moment to the next searches and writes go to the new index. */
const swap = async (index: SearchIndex, made: string): Promise<string | null> => {
  const { elasticsearch, source } = index;
  const { alias, live, building } = source.definition.names;
  const old = await liveIndex(elasticsearch, alias);
  const searches = await searchOnly(elasticsearch, live, made);
  await elasticsearch.call((client, options) =>
    client.indices.updateAliases(
      {
        actions: [
          ...(old === null || old === made ? [] : [{ remove: { index: old, alias } }]),
          { remove: { index: made, alias: building } },
          { add: { index: made, alias, is_write_index: true } },
          ...searches,
        ],
      },
      options,
    ),
  );
  return old === made ? null : old;
};

const settingsShape = z.record(
  z.string(),
  z.object({ settings: z.object({ index: z.object({ refresh_interval: z.string().optional() }) }) }),
);

/** How long the live index shows nothing new at most, should this process be killed before the swap. */
const heldBackFor = '30s';

/**
 * Does the last of a rebuild while the live index shows searches nothing that is newer than now: the new one, which was
 * refreshed at other moments, must not show less than was seen before.
 */
const whileHeldBack = async (index: SearchIndex, work: () => Promise<string | null>): Promise<string | null> => {
  const { elasticsearch, source } = index;
  const live = await liveIndex(elasticsearch, source.definition.names.alias);
  if (live === null) return work();
  const answer = await elasticsearch.call((client, options) => client.indices.getSettings({ index: live }, options));
  const before = settingsShape.safeParse(answer).data?.[live]?.settings.index.refresh_interval;
  const refreshEvery = async (interval: string | null): Promise<void> => {
    await elasticsearch.call((client, options) =>
      client.indices.putSettings({ index: live, settings: { 'index.refresh_interval': interval } }, options),
    );
  };
  // One that takes no changes at all shows nothing new either.
  await refreshEvery(heldBackFor).catch(() => undefined);
  try {
    return await work();
  } catch (error) {
    await refreshEvery(before ?? null).catch(() => undefined);
    throw error;
  }
};

/** Once searches can see in the new index all that they saw, it is the one. Answers which index it replaced. */
const makeLive = (
  index: SearchIndex,
  made: string,
  { signal, patienceMs }: { readonly signal: AbortSignal; readonly patienceMs: number },
): Promise<string | null> =>
  whileHeldBack(index, async () => {
    const { states, name, elasticsearch } = index;
    await states.awaitCurrent(name, { signal, timeoutMs: patienceMs });
    await elasticsearch.call((client, request) => client.indices.refresh({ index: made }, request), { signal });
    return swap(index, made);
  });

/**
 * Builds an index of the present definition beside the live one, which goes on being searched and written: everything is
 * written to the new one while changes go to both, both sides are compared, and one swap makes it live. Interrupted, it
 * goes on where it was.
 * @throws AppError of Elasticsearch and Postgres; SERVICE_UNAVAILABLE when nothing follows the tables; CONFIGURATION_ERROR for a server that is no Elasticsearch 8 or 9;
 * DATA_CONSISTENCY_ERROR when the new index does not become equal to the tables, and the live one stays.
 */
export const rebuildIndex = async (index: SearchIndex, options: RebuildOptions): Promise<Rebuilt> => {
  const { source, states, name, db, elasticsearch } = index;
  const { reason, signal, onProgress, onFailed, patienceMs = 60_000 } = options;
  const { alias, building } = source.definition.names;
  await elasticsearch.checkVersion();
  const known = await states.read(name);
  if (known?.building && (await liveIndex(elasticsearch, alias)) === known.building) {
    await states.endBuilding(name, known.building);
    await removeLeftovers(index);
    return { index: known.building, documents: await source.count(db), failed: 0, repaired: 0 };
  }
  const made = await begin(index, known, reason);
  const after = (await states.read(name))?.buildingCursor ?? undefined;
  // From here on every change is written to the new index too, and what is read has everything from before.
  onProgress(0, 'waiting for the change stream');
  await states.awaitCurrent(name, { signal, timeoutMs: patienceMs });
  const total = Math.max(1, await source.count(db));
  const result = await backfillIndex(index, {
    alias: building,
    after,
    signal,
    onCursor: (cursor) => states.noteCursor(name, made, cursor),
    onProgress: (documents) => onProgress(Math.min(0.8, (documents / total) * 0.8), `${documents} of ${total} written`),
  });
  const comparedSince = await states.now();
  const verification = await verifyIndex(index, {
    alias: building,
    signal,
    repair: true,
    patienceMs,
    onProgress: (documents) =>
      onProgress(0.8 + Math.min(0.19, (documents / total) * 0.19), `${documents} of ${total} compared`),
  });
  // Of all documents, also of those that were written before an interruption.
  const refused = [...new Map([...result.failed, ...verification.refused].map((one) => [keyText(one), one])).values()];
  if (refused.length > 0) await onFailed(refused);
  const left =
    verification.missing +
    verification.different +
    verification.surplus -
    verification.repaired -
    verification.refused.length;
  if (left > 0) {
    throw new AppError(
      'DATA_CONSISTENCY_ERROR',
      `the new index of ${name} differs from its tables in ${left} documents, and did not become live`,
      { entity: 'index', entityId: name },
      { retryable: true },
    );
  }
  const old = await makeLive(index, made, { signal, patienceMs });
  await states.endBuilding(name, made, comparedSince);
  if (old !== null) await removeIndex(index, old);
  await removeLeftovers(index);
  return {
    index: made,
    documents: verification.documents,
    failed: refused.length,
    repaired: verification.repaired,
  };
};
