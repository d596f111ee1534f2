import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { DocumentKey } from '../src/domain/search/indexes/index-source.ts';
import { indexDocument, indexId } from '../src/domain/search/indexes/index-document.ts';
import { dropSlot } from '../src/lib/replication/slot.ts';
import { percentile } from './measure.ts';
import type { Committed } from './processes/sync-writer.ts';
import type { Row } from './report.ts';
import { replicatorOf, slotOf, untilStreaming } from './sync-catch-up.ts';
import { openSource, renewIndex, type SyncWorld } from './sync-world.ts';
import { nowMs } from './worker-process.ts';

export interface LatencySizes {
  /** Commits a second. */
  readonly rate: number;
  readonly seconds: number;
  readonly idleSeconds: number;
}

const program = new URL('./processes/sync-writer.ts', import.meta.url);
/** Of so many commits one is looked for in searches. */
const searchedOf = 250;
const shares = [0.5, 0.95, 0.99];

const rowsOf = (measure: string, treadle: readonly number[], raw?: readonly number[]): readonly Row[] =>
  shares.map((share, place) => ({
    measure: `${measure}, p${share * 100}`,
    unit: 'ms',
    standings: [
      { name: 'Treadle', value: percentile([...treadle], share) },
      ...(raw ? [{ name: 'raw Elasticsearch', value: percentile([...raw], share) }] : []),
    ],
    detail: place > 0,
  }));

/** When each of the writer's commits was answered, by the row; `onCommit` is told of them on the way. */
const write = async (
  { postgresUrl }: SyncWorld,
  { rate, seconds }: LatencySizes,
  onCommit: (committed: Committed) => void,
): Promise<void> => {
  const child = fork(program, [postgresUrl, String(rate), String(seconds)]);
  child.on('message', (committed: readonly Committed[]) => {
    for (const one of committed) onCommit(one);
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`the writer ended with exit code ${code}`);
};

/** Until a search finds the mark, asked every 20 ms. */
const untilFound = async ({ elasticsearch }: SyncWorld, alias: string, { mark, atMs }: Committed): Promise<number> => {
  for (;;) {
    const { count } = await elasticsearch.call((client, options) =>
      client.count({ index: alias, query: { term: { mark } } }, options),
    );
    if (count > 0) return nowMs() - atMs;
    await delay(20);
  }
};

/** Single writes of the same documents at the same rate, from the call to its answer. */
const rawWrites = async (world: SyncWorld, { rate, seconds }: LatencySizes): Promise<readonly number[]> => {
  const source = await openSource(world.postgres, 'articles');
  const { alias } = (await renewIndex(world, source)).source.definition.names;
  const documents: { readonly id: string; readonly body: object }[] = [];
  for (let after: DocumentKey | undefined; documents.length < rate * seconds;) {
    const page = await source.scan(world.postgres, after);
    after = page.at(-1);
    if (after === undefined) break;
    const bodies = page.map((one) => ({ id: indexId(one), body: JSON.parse(indexDocument(one, '1')) as object }));
    documents.push(...bodies);
  }
  const times: number[] = [];
  const writeOne = async ({ id, body }: (typeof documents)[number], due: number): Promise<void> => {
    await world.elasticsearch.call((client, options) =>
      client.index({ index: alias, id, document: body, version: 1, version_type: 'external_gte' }, options),
    );
    times.push(performance.now() - due);
  };
  const startedAt = performance.now();
  const total = Math.min(documents.length, rate * seconds);
  const under = new Set<Promise<void>>();
  for (let place = 0; place < total;) {
    const due = Math.min(total, Math.floor(((performance.now() - startedAt) * rate) / 1_000));
    for (; place < due; place += 1) {
      const document = documents[place];
      if (!document) continue;
      // A server that can't keep up is not asked for more than a few requests ahead: these wait, and it counts.
      while (under.size >= 32) await Promise.race(under);
      const one = writeOne(document, startedAt + (place * 1_000) / rate).finally(() => under.delete(one));
      under.add(one);
    }
    await delay(1);
  }
  await Promise.all(under);
  return times;
};

/** From commits of single rows to where they can be found; then what following costs while nothing happens. */
export const measureLatency = async (world: SyncWorld, sizes: LatencySizes): Promise<readonly Row[]> => {
  const source = await openSource(world.postgres, 'articles');
  const index = await renewIndex(world, source);
  const taken = new Map<string, number>();
  const replicator = replicatorOf(world, index, ({ entities }) => {
    const now = nowMs();
    for (const { id } of entities) taken.set(id, now);
  });
  replicator.start();
  await untilStreaming(replicator);
  try {
    const committed: Committed[] = [];
    const searched: Promise<number>[] = [];
    await write(world, sizes, (one) => {
      committed.push(one);
      if (committed.length % searchedOf === 0) {
        searched.push(untilFound(world, index.source.definition.names.live, one));
      }
    });
    while (taken.size < committed.length) await delay(10);
    const found = await Promise.all(searched);
    const times = committed.map(({ id, atMs }) => Math.max(0, (taken.get(id) ?? Number.NaN) - atMs));
    await delay(2_000);
    const before = process.cpuUsage();
    await delay(sizes.idleSeconds * 1_000);
    const { user, system } = process.cpuUsage(before);
    await replicator.close();
    const raw = await rawWrites(world, sizes);
    const idle = (user + system) / (sizes.idleSeconds * 10_000);
    return [
      ...rowsOf(`commit to acknowledged at ${sizes.rate}/s`, times, raw),
      ...rowsOf('commit to searchable', found),
      { measure: 'CPU while idle', unit: '% of a core', standings: [{ name: 'Treadle', value: idle }] },
    ];
  } finally {
    await replicator.close();
    await dropSlot(world.postgres, slotOf(source));
  }
};
