import { AppError } from '../../../lib/errors/app-error.ts';
import { backfillIndex } from './backfill-index.ts';
import { isOfDefinition } from './index-definition.ts';
import type { IndexRecord } from './index-states.ts';
import type { FailedDocument } from './index-writer.ts';
import { createIndex, liveIndex } from './initialize-indices.ts';
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

const refreshEvery = async ({ elasticsearch }: SearchIndex, index: string, interval: '1s' | '-1'): Promise<void> => {
  await elasticsearch.call((client, options) =>
    client.indices.putSettings({ index, settings: { index: { refresh_interval: interval } } }, options),
  );
};

/** From one moment to the next searches and writes go to the new index. */
const swap = async (index: SearchIndex, made: string): Promise<string | null> => {
  const { elasticsearch, source } = index;
  const { alias, live, building } = source.definition.names;
  const found = await liveIndex(elasticsearch, alias);
  const old = found === made ? null : found;
  const removals =
    old === null ? [] : [alias, live].map((name) => ({ remove: { index: old, alias: name, must_exist: false } }));
  // From here on the old one shows nothing more, so that the new one shows no less.
  if (old !== null) await refreshEvery(index, old, '-1');
  try {
    await elasticsearch.call((client, options) => client.indices.refresh({ index: made }, options));
    await elasticsearch.call((client, options) =>
      client.indices.updateAliases(
        {
          actions: [
            ...removals,
            { remove: { index: made, alias: building } },
            { add: { index: made, alias, is_write_index: true } },
            { add: { index: made, alias: live, filter: withoutTombstones } },
          ],
        },
        options,
      ),
    );
  } catch (error) {
    if (old !== null) await refreshEvery(index, old, '1s').catch(() => undefined);
    throw error;
  }
  return old;
};

const withoutTombstones = { bool: { must_not: { exists: { field: 'deleted_at' } } } };

/**
 * Builds an index of the present definition beside the live one, which goes on being searched and written: everything is
 * written to the new one while changes go to both, both sides are compared, and one swap makes it live. Interrupted, it
 * goes on where it was.
 * @throws AppError of Elasticsearch and Postgres; CONFIGURATION_ERROR for a server that is no Elasticsearch 8 or 9; SERVICE_UNAVAILABLE when nothing follows the tables;
 * DATA_CONSISTENCY_ERROR when the new index does not become equal to the tables, and the live one stays.
 */
export const rebuildIndex = async (index: SearchIndex, options: RebuildOptions): Promise<Rebuilt> => {
  const { source, states, name, db, elasticsearch } = index;
  const { reason, signal, onProgress, onFailed, patienceMs = 60_000 } = options;
  const { alias, building } = source.definition.names;
  const known = await states.read(name);
  if (known?.building && (await liveIndex(elasticsearch, alias)) === known.building) {
    await states.endBuilding(name, known.building);
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
  if (result.failed.length > 0) await onFailed(result.failed);
  const comparedSince = await states.now();
  const verification = await verifyIndex(index, {
    alias: building,
    signal,
    repair: true,
    patienceMs,
    onProgress: (documents) =>
      onProgress(0.8 + Math.min(0.19, (documents / total) * 0.19), `${documents} of ${total} compared`),
  });
  const refused = new Set(result.failed.map(({ id }) => id));
  const left = verification.found.filter((one) => !one.repaired && !refused.has(one.id));
  if (left.length > 0) {
    throw new AppError(
      'DATA_CONSISTENCY_ERROR',
      `the new index of ${name} differs from its tables in ${left.length} documents, and did not become live`,
      { entity: 'index', entityId: name },
      { retryable: true },
    );
  }
  const old = await swap(index, made);
  await states.endBuilding(name, made, comparedSince);
  if (old !== null) await removeIndex(index, old);
  return {
    index: made,
    documents: verification.documents,
    failed: result.failed.length,
    repaired: verification.repaired,
  };
};
