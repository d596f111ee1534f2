import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { rebuildIndex } from '../../src/domain/search/indexes/rebuild-index.ts';
import type { SearchIndex } from '../../src/domain/search/indexes/search-index.ts';
import type { Breach } from '../audit.ts';
import { createRandom } from '../random.ts';
import { compareIndex } from './compare.ts';
import { delayStandby, makeFaults, type FaultName } from './faults.ts';
import { watchPositions } from './positions.ts';
import type { SyncSize } from './sizes.ts';
import type { SyncWorld } from './world.ts';
import { runWriters, type Written } from './writers.ts';

export interface OracleResult extends Written {
  readonly seed: number;
  readonly documents: number;
  readonly tombstones: number;
  /** Looks at what was confirmed and what was stored. */
  readonly samples: number;
  readonly faults: readonly string[];
  readonly seconds: number;
  /** From the end of the last write until the indexes had been offered everything. */
  readonly secondsToCurrent: number;
  readonly breaches: readonly Breach[];
}

export interface OracleOptions extends SyncSize {
  readonly seed: number;
  /** Only these; all by default. */
  readonly faults?: readonly FaultName[] | undefined;
  readonly onNote?: (note: string) => void;
}

/** Of both indexes, of events and of caches. */
const sinks = 4;
const patienceMs = 240_000;

const breach = (rule: string, ids: readonly string[]): readonly Breach[] =>
  ids.length === 0 ? [] : [{ rule, ids: ids.slice(0, 20), count: ids.length }];

const untilFollowed = async ({ query }: SyncWorld): Promise<void> => {
  for (const deadline = Date.now() + patienceMs; Date.now() < deadline; await delay(50)) {
    const [row] = await query<{ sinks: number }>(
      'SELECT count(*)::integer AS sinks FROM treadle.change_sinks WHERE NOT lacks_changes',
    );
    if (row?.sinks === sinks) return;
  }
  throw new Error('no replicator streams');
};

/** The indexes are built while writers write. What a comparison with repair finds then was lost by the backfill, or by the stream. */
const buildIndexes = async ({ platform }: SyncWorld, signal: AbortSignal): Promise<readonly Breach[]> => {
  const breaches: Breach[] = [];
  for (const index of platform.indexes.all()) {
    const { failed, repaired } = await rebuildIndex(index, {
      reason: 'the oracle begins',
      signal,
      onProgress: () => undefined,
      onFailed: () => Promise.resolve(),
      patienceMs,
    });
    if (failed + repaired > 0)
      breaches.push(...breach(`${index.name}: wrong when it was built`, [`${failed} refused, ${repaired} repaired`]));
  }
  return breaches;
};

/** What may not have come about: nobody repairs the indexes in a run, and nothing is read again as a whole. */
const judgeStates = async (world: SyncWorld, indexes: readonly SearchIndex[]): Promise<readonly Breach[]> => {
  const states = await Promise.all(indexes.map(({ states: known, name }) => known.read(name)));
  const suspect = states.flatMap((state) => (state?.suspect == null ? [] : [`${state.name}: ${state.suspect}`]));
  const refused = await world.query<{ id: string }>(
    `SELECT id::text FROM treadle.jobs WHERE name = 'search.sync-document'`,
  );
  const kept = await world.query<{ sink: string }>('SELECT DISTINCT sink FROM treadle.change_backlog');
  const overs = (await world.told()).filter((line) => line.includes('"event":"changes.sink-starts-over"')).length;
  return [
    ...breach('not to be relied on', suspect),
    ...breach(
      'refused by Elasticsearch',
      refused.map(({ id }) => id),
    ),
    ...breach(
      'left in the backlog',
      kept.map(({ sink }) => sink),
    ),
    ...breach('started over', overs > sinks ? [`${overs} times`] : []),
  ];
};

/** The process of the standby that receives, as itself tells; undefined while it connects. */
const receiverOf = (standby: Client) => async (): Promise<number | undefined> => {
  const { rows } = await standby.query<{ pid: number }>('SELECT pid FROM pg_stat_wal_receiver');
  return rows[0]?.pid;
};

const withDelays = async <T>(world: SyncWorld, seed: number, work: () => Promise<T>): Promise<T> => {
  if (!world.standby) return work();
  const client = new Client({ connectionString: world.standby.url });
  client.on('error', () => undefined);
  await client.connect();
  const over = new AbortController();
  const delays = delayStandby(receiverOf(client), createRandom(seed, 'standby'), over.signal);
  try {
    return await work();
  } finally {
    over.abort();
    await delays;
    await client.end();
  }
};

/** Writes and breaks at once; answers when writers and faults are through. */
const disturb = async (world: SyncWorld, options: OracleOptions) => {
  const { seed, rounds, onNote = () => undefined } = options;
  const made: string[] = [];
  const enough = new AbortController();
  const writing = runWriters({ ...options, url: world.url, signal: enough.signal });
  const breaking = async (): Promise<readonly Breach[]> => {
    try {
      const breaches = await buildIndexes(world, AbortSignal.timeout(patienceMs));
      onNote('the indexes are built');
      await makeFaults(world, createRandom(seed, 'faults'), { rounds, only: options.faults }, (name) => {
        made.push(name);
        onNote(name);
      });
      return breaches;
    } finally {
      enough.abort();
    }
  };
  const [written, breaches] = await Promise.all([writing, breaking()]);
  return { written, breaches, faults: made };
};

/**
 * Random writes in plain SQL while replicators, Elasticsearch and connections are killed, frozen and cut; then every document
 * of the indexes is compared with the tables. The same seed makes the same writes and the same faults in the same order.
 */
export const runOracle = async (world: SyncWorld, options: OracleOptions): Promise<OracleResult> => {
  const { seed, onNote = () => undefined } = options;
  const startedAt = performance.now();
  await untilFollowed(world);
  const over = new AbortController();
  const watching = watchPositions(world, sinks, over.signal);
  try {
    const { written, breaches, faults } = await withDelays(world, seed, () => disturb(world, options));
    onNote(`${written.keys} keys written`);
    const writtenAt = performance.now();
    const indexes = world.platform.indexes.all();
    for (const { states, name } of indexes) {
      await states.awaitCurrent(name, { signal: AbortSignal.timeout(2 * patienceMs), timeoutMs: patienceMs });
    }
    const currentAt = performance.now();
    onNote('everything was offered to the indexes');
    const compared = [];
    for (const index of indexes) compared.push(await compareIndex(index));
    onNote('everything is compared');
    over.abort();
    const { samples, ahead } = await watching;
    return {
      seed,
      ...written,
      faults,
      samples,
      documents: compared.reduce((sum, { documents }) => sum + documents, 0),
      tombstones: compared.reduce((sum, { tombstones }) => sum + tombstones, 0),
      seconds: (performance.now() - startedAt) / 1_000,
      secondsToCurrent: (currentAt - writtenAt) / 1_000,
      breaches: [
        ...breaches,
        ...compared.flatMap((one) => one.breaches),
        ...breach('confirmed ahead of what was stored', ahead),
        ...(await judgeStates(world, indexes)),
        ...breach('did not end in order', await world.processes.endAll()),
      ],
    };
  } finally {
    over.abort();
    await watching.catch(() => undefined);
  }
};
