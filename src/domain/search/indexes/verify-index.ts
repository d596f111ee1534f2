import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { indexedHashes, indexedKeys, indexedSources } from './indexed-documents.ts';
import { indexId } from './index-document.ts';
import { keyText, type DocumentKey } from './index-source.ts';
import type { FailedDocument } from './index-writer.ts';
import type { SearchIndex } from './search-index.ts';

export interface VerifyOptions {
  /** Of the index to look at. */
  readonly alias: string;
  readonly signal: AbortSignal;
  /** Documents a second at most; unlimited by default. */
  readonly ratePerSecond?: number | undefined;
  /** Whether what differs is written again, to the index looked at. */
  readonly repair: boolean;
  /** How long the index is waited for to follow what was committed; 60 s by default. */
  readonly patienceMs?: number;
  readonly onProgress?: (documents: number) => void;
}

export type Difference = 'missing' | 'different' | 'surplus';

export interface FoundDifference extends DocumentKey {
  readonly difference: Difference;
  /** Those that differ, as far as the index keeps them: vectors it does not. */
  readonly fields: readonly string[];
  readonly repaired: boolean;
}

export interface Verification {
  /** Documents of Postgres. */
  readonly documents: number;
  readonly missing: number;
  readonly different: number;
  /** In the index, and in Postgres not any more. */
  readonly surplus: number;
  readonly repaired: number;
  /** Differed each time they were looked at, and changed each time too. */
  readonly unsettled: number;
  /** Could not be repaired: Elasticsearch takes no such documents. */
  readonly refused: readonly FailedDocument[];
  /** The first hundred. */
  readonly found: readonly FoundDifference[];
}

const shownAtMost = 100;
/** Of the index alone, or not whole in it. */
const kept = new Set(['version', 'content_hash', 'chunks']);
const documentShape = z.record(z.string(), z.unknown());
const roundsAtMost = 5;

interface Suspect extends DocumentKey {
  /** Of Postgres when it was looked at; undefined: it is not there. */
  readonly hash: string | undefined;
  readonly difference: Difference;
}

const compare = (hash: string | undefined, indexed: string | undefined): Difference | undefined => {
  if (hash === indexed) return undefined;
  if (hash === undefined) return 'surplus';
  return indexed === undefined ? 'missing' : 'different';
};

/** Keeps to so many a second. */
const createPace = (ratePerSecond: number | undefined, signal: AbortSignal) => {
  const startedAt = performance.now();
  return async (done: number): Promise<void> => {
    if (ratePerSecond === undefined) return;
    const aheadMs = (done / ratePerSecond) * 1_000 - (performance.now() - startedAt);
    if (aheadMs > 0) await delay(aheadMs, undefined, { signal });
  };
};

/** Looks at keys on both sides at once. */
const lookAt = async (
  { source, elasticsearch, db }: SearchIndex,
  keys: readonly DocumentKey[],
  { alias, signal }: VerifyOptions,
): Promise<readonly Suspect[]> => {
  const hashes = new Map<string, string>();
  for await (const page of source.read(db, keys)) for (const one of page) hashes.set(keyText(one), one.hash);
  const indexed = await indexedHashes(elasticsearch, alias, keys, signal);
  return keys.flatMap((key) => {
    const hash = hashes.get(keyText(key));
    const difference = compare(hash, indexed.get(indexId(key)));
    return difference ? [{ ...key, hash, difference }] : [];
  });
};

/** Everything that differs at first sight: perhaps only because it is on its way. */
const findSuspects = async (
  index: SearchIndex,
  options: VerifyOptions,
): Promise<{ readonly documents: number; readonly suspects: readonly Suspect[] }> => {
  const { source, elasticsearch, db } = index;
  const { alias, signal, onProgress, ratePerSecond } = options;
  const pace = createPace(ratePerSecond, signal);
  const suspects: Suspect[] = [];
  let documents = 0;
  for (let after: DocumentKey | undefined; ;) {
    signal.throwIfAborted();
    const page = await source.scan(db, after);
    after = page.at(-1);
    if (after === undefined) break;
    const indexed = await indexedHashes(elasticsearch, alias, page, signal);
    for (const { workspaceId, id, hash } of page) {
      const difference = compare(hash, indexed.get(indexId({ workspaceId, id })));
      if (difference) suspects.push({ workspaceId, id, hash, difference });
    }
    documents += page.length;
    onProgress?.(documents);
    await pace(documents);
  }
  let looked = documents;
  for await (const page of indexedKeys(elasticsearch, alias, signal)) {
    const gone = await source.absent(db, page);
    suspects.push(...gone.map((key): Suspect => ({ ...key, hash: undefined, difference: 'surplus' })));
    looked += page.length;
    await pace(looked);
  }
  return { documents, suspects };
};

interface Confirmed {
  readonly real: readonly Suspect[];
  readonly unsettled: number;
}

/**
 * A document that still differs after the index was offered all that was committed, and that did not change meanwhile, really
 * does.
 */
const confirm = async (
  index: SearchIndex,
  suspects: readonly Suspect[],
  options: VerifyOptions,
): Promise<Confirmed> => {
  const real: Suspect[] = [];
  let open = suspects;
  for (let round = 0; round < roundsAtMost && open.length > 0; round += 1) {
    await index.states.awaitCurrent(index.name, { signal: options.signal, timeoutMs: options.patienceMs ?? 60_000 });
    const again: Suspect[] = [];
    for (let from = 0; from < open.length; from += 500) {
      again.push(...(await lookAt(index, open.slice(from, from + 500), options)));
    }
    const before = new Map(open.map((one) => [keyText(one), one.hash]));
    real.push(...again.filter((one) => before.get(keyText(one)) === one.hash));
    open = again.filter((one) => before.get(keyText(one)) !== one.hash);
  }
  return { real, unsettled: open.length };
};

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Which fields of documents differ; of those that are only on one side none. */
const fieldsOf = async (
  { source, elasticsearch, db }: SearchIndex,
  suspects: readonly Suspect[],
  { alias, signal }: VerifyOptions,
): Promise<readonly Omit<FoundDifference, 'repaired'>[]> => {
  const documents = new Map<string, Readonly<Record<string, unknown>>>();
  for await (const page of source.read(db, suspects)) {
    for (const one of page) documents.set(keyText(one), documentShape.parse(JSON.parse(one.json)));
  }
  const indexed = await indexedSources(elasticsearch, alias, suspects, signal);
  return suspects.map(({ workspaceId, id, difference }) => {
    const key = { workspaceId, id };
    const [ours, theirs] = [documents.get(keyText(key)), indexed.get(indexId(key))];
    const names = difference === 'different' && ours && theirs ? Object.keys(theirs) : [];
    const fields = names.filter((name) => !kept.has(name) && !same(ours?.[name], theirs?.[name]));
    return { ...key, difference, fields };
  });
};

/**
 * Compares an index with its tables, document by document by the hashes of their contents, in both directions; what is on its
 * way does not count. With `repair` what differs is written again.
 * @throws AppError of Elasticsearch and Postgres, and SERVICE_UNAVAILABLE when nothing follows the tables.
 */
export const verifyIndex = async (index: SearchIndex, options: VerifyOptions): Promise<Verification> => {
  const { alias, signal, repair } = options;
  const { documents, suspects } = await findSuspects(index, options);
  const { real, unsettled } = await confirm(index, suspects, options);
  const shown = await fieldsOf(index, real.slice(0, shownAtMost), options);
  const repaired = new Set<string>();
  let refused: readonly FailedDocument[] = [];
  if (repair && real.length > 0) {
    const version = await index.states.publishedVersion(index.name);
    ({ failed: refused } = await index.writer.update([alias], real, version, signal));
    const left = new Set<string>();
    for (let from = 0; from < real.length; from += 500) {
      for (const one of await lookAt(index, real.slice(from, from + 500), options)) left.add(keyText(one));
    }
    for (const one of real) if (!left.has(keyText(one))) repaired.add(keyText(one));
  }
  const count = (kind: Difference): number => real.filter(({ difference }) => difference === kind).length;
  return {
    documents,
    missing: count('missing'),
    different: count('different'),
    surplus: count('surplus'),
    repaired: repaired.size,
    unsettled,
    refused,
    found: shown.map((one) => ({ ...one, repaired: repaired.has(keyText(one)) })),
  };
};
