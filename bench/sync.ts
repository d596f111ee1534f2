import { findElasticsearchProgram, missingElasticsearch } from '../test/services/elasticsearch-program.ts';
import type { BenchOptions } from './benchmarks.ts';
import { describeMachine, load } from './machine.ts';
import { report, type Row } from './report.ts';
import { catchUp, type CatchUp } from './sync-catch-up.ts';
import { measureBackfill } from './sync-backfill.ts';
import { measureLatency, type LatencySizes } from './sync-latency.ts';
import { createArticles, fillArticles, fillKnowledge, model, openWorld, type SyncWorld } from './sync-world.ts';

interface Sizes {
  readonly rounds: number;
  readonly rows: number;
  /** Documents of Treadle's own, whose analysis costs Elasticsearch several times as much. */
  readonly documents: number;
  readonly embedded: number;
  readonly backfilled: number;
  readonly latency: LatencySizes;
}

const fullSizes: Sizes = {
  rounds: 3,
  rows: 60_000,
  documents: 40_000,
  embedded: 20_000,
  backfilled: 500_000,
  latency: { rate: 1_000, seconds: 20, idleSeconds: 30 },
};
const shortSizes: Sizes = {
  rounds: 1,
  rows: 10_000,
  documents: 2_000,
  embedded: 1_000,
  backfilled: 20_000,
  latency: { rate: 500, seconds: 5, idleSeconds: 5 },
};

interface Measured extends CatchUp {
  readonly measure: string;
  readonly atLeast: number;
}

const catchUpRows = async (world: SyncWorld, { measure, atLeast, ...asked }: Measured): Promise<readonly Row[]> => {
  const { standings, bestSize, cpuMs } = await catchUp(world, asked);
  return [
    { measure, unit: `documents/s, raw by ${bestSize}`, standings, promised: { of: 'ratio', atLeast } },
    { measure: `${measure}: own CPU`, unit: 'ms/1,000', standings: cpuMs, detail: true },
  ];
};

const measureAll = async (world: SyncWorld, sizes: Sizes): Promise<readonly Row[]> => {
  const { rounds, rows, documents, embedded } = sizes;
  await createArticles(world.postgres);
  await fillArticles(world.postgres, 0, rows);
  await fillKnowledge(world.postgres, documents, embedded);
  const tried = [500, 1_000, 2_000, 4_000];
  const all = { first: 0, documents: rows, rounds, sizes: tried };
  const asked: readonly Measured[] = [
    { ...all, measure: 'rows of the stream', source: 'articles', atLeast: 0.85 },
    { ...all, measure: 'rows with joins', source: 'joined', atLeast: 0.75 },
    { ...all, measure: 'documents without vectors', source: 'knowledge', documents, atLeast: 0.75 },
    {
      measure: `documents with vectors of ${model.dimensions}`,
      source: 'knowledge',
      first: documents,
      documents: embedded,
      // Half a minute each.
      rounds: 1,
      sizes: [100, 250, 500],
      atLeast: 0.9,
    },
  ];
  const found: Row[] = [];
  for (const one of asked) found.push(...(await catchUpRows(world, one)));
  found.push(...(await measureLatency(world, sizes.latency)));
  found.push(...(await measureBackfill(world, sizes.backfilled, rows)));
  return found;
};

/** How fast indexes of Elasticsearch follow their tables, beside a raw bulk of the same documents. */
export const benchSync = async ({ short }: BenchOptions): Promise<void> => {
  const program = await findElasticsearchProgram();
  if (!program) {
    console.error(`bench: no Elasticsearch: ${missingElasticsearch}`);
    process.exitCode = 1;
    return;
  }
  const world = await openWorld(program);
  try {
    const loadBefore = load();
    const { versions, ...machine } = await describeMachine({ postgresUrl: world.postgresUrl, redisUrl: undefined });
    const { node = '', postgres = '' } = versions;
    const elasticsearch = await world.elasticsearch.checkVersion();
    const rows = await measureAll(world, short ? shortSizes : fullSizes);
    report({
      name: 'sync',
      short,
      machine: { ...machine, versions: { node, postgres, elasticsearch } },
      loadBefore,
      rows,
    });
  } finally {
    await world.close();
  }
};
