import { findElasticsearchProgram, missingElasticsearch } from '../test/services/elasticsearch-program.ts';
import type { BenchOptions } from './benchmarks.ts';
import { describeMachine, load } from './machine.ts';
import { report, type Row } from './report.ts';
import { catchUp, type CatchUp } from './sync-catch-up.ts';
import { fillArticles, fillKnowledge, openWorld, type SyncWorld } from './sync-world.ts';

interface Sizes {
  readonly rounds: number;
  readonly rows: number;
  readonly embedded: number;
}

const fullSizes: Sizes = { rounds: 3, rows: 60_000, embedded: 20_000 };
const shortSizes: Sizes = { rounds: 1, rows: 10_000, embedded: 1_000 };

interface Measured extends CatchUp {
  readonly measure: string;
  readonly atLeast: number;
}

const catchUpRows = async (world: SyncWorld, { measure, atLeast, ...asked }: Measured): Promise<readonly Row[]> => {
  const { standings, bestSize, cpuMs } = await catchUp(world, asked);
  return [
    { measure, unit: `documents/s (raw by ${bestSize})`, standings, promised: { of: 'ratio', atLeast } },
    { measure: `${measure}: own CPU`, unit: 'ms/1,000', standings: cpuMs, detail: true },
  ];
};

const measureAll = async (world: SyncWorld, { rounds, rows, embedded }: Sizes): Promise<readonly Row[]> => {
  await fillArticles(world.postgres, rows);
  await fillKnowledge(world.postgres, embedded);
  const sizes = [500, 1_000, 2_000];
  const asked: readonly Measured[] = [
    { measure: 'rows of the stream', source: 'articles', documents: rows, rounds, sizes, atLeast: 0.85 },
    { measure: 'rows with joins', source: 'joined', documents: rows, rounds, sizes, atLeast: 0.75 },
    { measure: 'documents without vectors', source: 'knowledge', documents: rows, rounds, sizes, atLeast: 0.75 },
    {
      measure: 'documents with vectors',
      source: 'knowledge',
      documents: embedded,
      rounds,
      sizes: [100, 250, 500],
      atLeast: 0.9,
    },
  ];
  const found: Row[] = [];
  for (const one of asked) {
    found.push(...(await catchUpRows(world, one)));
    console.error(JSON.stringify(found.slice(-2)));
  }
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
