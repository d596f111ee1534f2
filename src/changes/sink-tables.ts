import type { Log } from '../lib/log/create-log.ts';
import type { Queryable } from '../lib/postgres/queryable.ts';
import {
  ensurePublication,
  findBrokenTables,
  keyOf,
  type Publication,
  type StreamUnavailable,
} from '../lib/replication/requirements.ts';
import type { Sink } from './change-batch.ts';

export interface SinkTablesParts {
  readonly postgres: Queryable;
  readonly log: Log;
  readonly sinks: readonly Sink[];
  readonly publications: readonly Publication[];
}

/** A sink that can't follow, and why. */
export interface SetAside {
  readonly sink: Sink;
  readonly error: StreamUnavailable;
}

/** Sees to the tables that sinks watch. One that is not as its sink needs it takes only that sink out of the stream. */
export class SinkTables {
  readonly #parts: SinkTablesParts;
  #aside: readonly SetAside[] = [];
  /** Tables that were in no publication, so that changes of theirs were not told. */
  readonly #missed = new Set<string>();

  constructor(parts: SinkTablesParts) {
    this.#parts = parts;
  }

  get aside(): readonly SetAside[] {
    return this.#aside;
  }

  /**
   * Publishes the tables that are as they have to be, and answers the sinks that can follow.
   * @throws StreamUnavailable when none can, or a table can't be published.
   */
  async prepare(): Promise<readonly Sink[]> {
    const { postgres, publications, sinks, log } = this.#parts;
    const tables = publications.flatMap((publication) => publication.tables);
    const broken = await findBrokenTables(postgres, tables);
    const aside = sinks.flatMap((sink): SetAside[] => {
      const [error] = sink.watches.flatMap((watch) => broken.get(keyOf(watch)) ?? []);
      return error ? [{ sink, error }] : [];
    });
    for (const { sink, error } of aside) {
      const known = this.#aside.find((one) => one.sink === sink)?.error.message;
      if (known === error.message) continue;
      log.error({ event: 'changes.sink-unavailable', sink: sink.name, problem: error.message });
    }
    this.#aside = aside;
    const able = sinks.filter((sink) => !aside.some((one) => one.sink === sink));
    const [first] = aside;
    if (able.length === 0 && first) throw first.error;
    for (const publication of publications) {
      const sound = publication.tables.filter((table) => !broken.has(keyOf(table)));
      const added = await ensurePublication(postgres, { ...publication, tables: sound });
      for (const table of added) this.#missed.add(keyOf(table));
      if (added.length > 0) log.warn({ event: 'changes.published', tables: added.map(keyOf) });
    }
    return able;
  }

  /** Whether changes of a table that it watches were not told. */
  hasMissed({ watches }: Sink): boolean {
    return watches.some((watch) => this.#missed.has(keyOf(watch)));
  }

  /** The sinks have started over. */
  forgetMissed(): void {
    this.#missed.clear();
  }

  /**
   * Looks at the tables again while the stream goes on.
   * @throws Error when other sinks than before can follow, or changes were missed: the stream has to begin anew.
   */
  async lookAgain(): Promise<void> {
    const before = this.#aside.map(({ sink }) => sink.name).join();
    await this.prepare();
    if (this.#missed.size > 0 || this.#aside.map(({ sink }) => sink.name).join() !== before) {
      throw new Error('tables were changed: the stream begins anew');
    }
  }
}
