import type { AppliedBatch, Sink } from '../src/changes/change-batch.ts';
import { Replicator } from '../src/changes/replicator.ts';
import { SearchSink } from '../src/changes/sinks/search-sink.ts';
import { indexDocument, indexId } from '../src/domain/search/indexes/index-document.ts';
import type { DocumentKey, IndexSource } from '../src/domain/search/indexes/index-source.ts';
import type { SearchIndex } from '../src/domain/search/indexes/search-index.ts';
import { dropSlot } from '../src/lib/replication/slot.ts';
import { compare, type Standing, type Turn } from './measure.ts';
import { openSource, renewIndex, type SyncConnections, type SyncSource } from './sync-world.ts';

/** A sink that says what it has taken. */
export class WatchedSink implements Sink {
  readonly name: string;
  readonly watches: Sink['watches'];
  readonly batchesAtOnce: number;
  readonly #sink: Sink;
  readonly #onTaken: (batch: AppliedBatch) => void;

  constructor(sink: Sink, onTaken: (batch: AppliedBatch) => void) {
    this.name = sink.name;
    this.watches = sink.watches;
    this.batchesAtOnce = sink.batchesAtOnce ?? 1;
    this.#sink = sink;
    this.#onTaken = onTaken;
  }

  async apply(batch: AppliedBatch, signal: AbortSignal): Promise<void> {
    await this.#sink.apply(batch, signal);
    this.#onTaken(batch);
  }

  /** The benchmark makes the index itself. */
  startOver(): Promise<void> {
    return Promise.resolve();
  }
}

const nothingToDo = (): Promise<void> => Promise.resolve();

/** A replicator of one index, as the role makes one. */
export const replicatorOf = (
  { postgres, log }: SyncConnections,
  index: SearchIndex,
  onTaken: (batch: AppliedBatch) => void,
): Replicator => {
  const sink = new SearchSink({
    index,
    log,
    requestRebuild: nothingToDo,
    requestVerification: nothingToDo,
    keepFailed: (_, failed) => Promise.reject(failed[0]?.error ?? new Error('a document was refused')),
  });
  const publications = [{ name: `bench_${index.name}`, tables: index.source.tables }];
  return new Replicator({
    postgres,
    log,
    sinks: [new WatchedSink(sink, onTaken)],
    slot: slotOf(index.source),
    publications,
  });
};

export const slotOf = ({ name }: IndexSource): string => `bench_${name}`;

/** Until it streams. */
export const untilStreaming = async (replicator: Replicator): Promise<void> => {
  while (replicator.status.state !== 'streaming') {
    if (replicator.status.problem !== undefined) throw new Error(replicator.status.problem);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
};

export interface CatchUp {
  readonly source: SyncSource;
  /** The place of the first row. */
  readonly first: number;
  readonly documents: number;
  readonly rounds: number;
  /** Sizes of raw requests that are tried. */
  readonly sizes: readonly number[];
}

export interface CaughtUp {
  readonly standings: readonly Standing[];
  /** How many documents the raw requests had that were fastest. */
  readonly bestSize: number;
  /** What this process alone takes, ms of CPU for 1,000 documents. */
  readonly cpuMs: readonly Standing[];
}

/** Of each 1,000 documents a transaction of its own; without the triggers, which are not what is measured. */
const touch = async ({ postgres }: SyncConnections, { source, first, documents }: CatchUp): Promise<void> => {
  const statement =
    source === 'knowledge'
      ? `UPDATE treadle.knowledge AS k SET updated_at = clock_timestamp() FROM public.article AS a WHERE a.id = k.id AND a.place BETWEEN $1 AND $2`
      : `UPDATE public.article SET mark = 'round-' || clock_timestamp()::text WHERE place BETWEEN $1 AND $2`;
  const end = first + documents;
  for (let from = first; from < end; from += 1_000) {
    await postgres.transaction(async (tx) => {
      await tx.query('SET LOCAL session_replication_role = replica');
      await tx.query(statement, [from, Math.min(end, from + 1_000) - 1]);
    });
  }
  await postgres.query(`VACUUM ${source === 'knowledge' ? 'treadle.knowledge' : 'public.article'}`);
};

/** Lines as `bulk` takes them, made before. */
const linesOf = async (
  { postgres }: SyncConnections,
  source: IndexSource,
  ids: ReadonlySet<string>,
): Promise<readonly string[]> => {
  const lines: string[] = [];
  const version = '1125900000000000';
  for (let after: DocumentKey | undefined; ;) {
    const page = await source.scan(postgres, after);
    after = page.at(-1);
    if (after === undefined) return lines;
    for (const document of page) {
      if (!ids.has(document.id)) continue;
      lines.push(
        `{"index":{"_id":${JSON.stringify(indexId(document))},"version":${version},"version_type":"external_gte"}}`,
        // In one piece, as a text that was read is.
        Buffer.from(indexDocument(document, version)).toString(),
      );
    }
  }
};

const lanes = 4;

const rawBulk = async (
  { elasticsearch }: SyncConnections,
  source: IndexSource,
  lines: readonly string[],
  size: number,
): Promise<void> => {
  let from = 0;
  const lane = async (): Promise<void> => {
    while (from < lines.length) {
      const operations = lines.slice(from, from + size * 2);
      from += size * 2;
      const answer = await elasticsearch.call((client, options) =>
        client.bulk<string>(
          { index: source.definition.names.alias, require_alias: true, filter_path: ['errors'], operations },
          options,
        ),
      );
      if (answer.errors) throw new Error('a raw bulk has errors');
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
};

const checkCount = async (
  { elasticsearch }: SyncConnections,
  { definition }: IndexSource,
  expected: number,
): Promise<void> => {
  const { count } = await elasticsearch.call(async (client, options) => {
    await client.indices.refresh({ index: definition.names.alias }, options);
    return client.count({ index: definition.names.live }, options);
  });
  if (count !== expected) throw new Error(`the index has ${count} documents of ${expected}`);
};

class CatchUpBench {
  readonly cpu = { treadle: [] as number[], raw: [] as number[] };
  readonly #world: SyncConnections;
  readonly #asked: CatchUp;
  readonly #source: IndexSource;

  constructor(world: SyncConnections, asked: CatchUp, source: IndexSource) {
    this.#world = world;
    this.#asked = asked;
    this.#source = source;
  }

  async measure(): Promise<CaughtUp> {
    const { postgres } = this.#world;
    try {
      const { first, documents } = this.#asked;
      const { rows } = await postgres.query<{ id: string }>(
        'SELECT id FROM public.article WHERE place BETWEEN $1 AND $2',
        [first, first + documents - 1],
      );
      const lines = await linesOf(this.#world, this.#source, new Set(rows.map(({ id }) => id)));
      const bestSize = await this.#findBestSize(lines);
      const turns: readonly Turn[] = [
        { name: 'Treadle', run: () => this.#treadle() },
        { name: 'raw Elasticsearch', run: () => this.#raw(lines, bestSize) },
      ];
      const standings = await compare(this.#asked.rounds, turns);
      const cpuMs = [
        { name: 'Treadle', value: Math.min(...this.cpu.treadle) },
        { name: 'raw Elasticsearch', value: Math.min(...this.cpu.raw) },
      ];
      return { standings, bestSize, cpuMs };
    } finally {
      await dropSlot(postgres, slotOf(this.#source));
    }
  }

  /** It holds everything from here on; one of the round before would have the server go through that round's changes as well. */
  async #renewSlot(): Promise<void> {
    await dropSlot(this.#world.postgres, slotOf(this.#source));
    const opening = replicatorOf(this.#world, await renewIndex(this.#world, this.#source), () => undefined);
    opening.start();
    await untilStreaming(opening);
    await opening.close();
  }

  async #treadle(): Promise<number> {
    const { documents } = this.#asked;
    await this.#renewSlot();
    const index = await renewIndex(this.#world, this.#source);
    await touch(this.#world, this.#asked);
    const done = Promise.withResolvers<void>();
    let taken = 0;
    const replicator = replicatorOf(this.#world, index, ({ entities }) => {
      taken += entities.length;
      if (taken >= documents) done.resolve();
    });
    const rate = await this.#timed(this.cpu.treadle, async () => {
      replicator.start();
      await done.promise;
    });
    await replicator.close();
    await checkCount(this.#world, this.#source, documents);
    return rate;
  }

  async #raw(lines: readonly string[], size: number): Promise<number> {
    await renewIndex(this.#world, this.#source);
    const rate = await this.#timed(this.cpu.raw, () => rawBulk(this.#world, this.#source, lines, size));
    await checkCount(this.#world, this.#source, lines.length / 2);
    return rate;
  }

  async #timed(cpu: number[], work: () => Promise<void>): Promise<number> {
    const startedAt = performance.now();
    const before = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(before);
    cpu.push((user + system) / this.#asked.documents);
    return (this.#asked.documents * 1_000) / (performance.now() - startedAt);
  }

  async #findBestSize(lines: readonly string[]): Promise<number> {
    const { sizes, documents } = this.#asked;
    const tried = lines.slice(0, 2 * Math.min(documents, 20 * Math.max(...sizes)));
    // The server compiles what it does often.
    await renewIndex(this.#world, this.#source);
    await rawBulk(this.#world, this.#source, tried, sizes[0] ?? 500);
    let best = { size: sizes[0] ?? 500, ms: Number.POSITIVE_INFINITY };
    for (const size of sizes) {
      await renewIndex(this.#world, this.#source);
      const startedAt = performance.now();
      await rawBulk(this.#world, this.#source, tried, size);
      const ms = performance.now() - startedAt;
      if (ms < best.ms) best = { size, ms };
    }
    return best.size;
  }
}

/**
 * How fast an index catches up over rows that were committed before anybody followed, from the start of the replicator to
 * the last acknowledgement, and how fast a bulk of the same documents is that were made before.
 */
export const catchUp = async (world: SyncConnections, asked: CatchUp): Promise<CaughtUp> =>
  new CatchUpBench(world, asked, await openSource(world.postgres, asked.source)).measure();
