import type { Log } from '../lib/log/create-log.ts';
import type { Postgres } from '../lib/postgres/postgres.ts';
import {
  ensurePublication,
  keyOf,
  StreamUnavailable,
  type OnPublished,
  type Publication,
} from '../lib/replication/requirements.ts';
import type { Sink } from './change-batch.ts';
import { SinkPositions } from './sink-positions.ts';

export interface FollowedTablesParts {
  readonly postgres: Postgres;
  readonly log: Log;
  readonly sinks: readonly Sink[];
  readonly publications: readonly Publication[];
}

/** The tables that sinks watch: which are published, and which sinks can be given nothing, since one of theirs is not. */
export class FollowedTables {
  readonly #parts: FollowedTablesParts;
  readonly #positions: SinkPositions;
  #leftOut: ReadonlyMap<string, string> = new Map();

  constructor(parts: FollowedTablesParts) {
    this.#parts = parts;
    this.#positions = new SinkPositions(parts.postgres);
  }

  /** Sinks that watch a table that can't be followed, and why it can't. */
  get leftOut(): ReadonlyMap<string, string> {
    return this.#leftOut;
  }

  /**
   * The sinks that can be given something: all tables that they watch are published. That a table was not is noted for its
   * sinks in the transaction that publishes it: whoever streams next has them start over.
   * @throws StreamUnavailable when there are none.
   */
  async publish(): Promise<readonly Sink[]> {
    const { postgres, publications, sinks, log } = this.#parts;
    const problems = new Map<string, string>();
    const note: OnPublished = async (tx, tables) => {
      const names = new Set(tables.map(keyOf));
      const lacking = sinks.filter(({ watches }) => watches.some((watch) => names.has(keyOf(watch))));
      await new SinkPositions(tx).noteLackOfChanges(lacking.map(({ name }) => name));
      log.warn({ event: 'changes.published', tables: [...names] });
    };
    for (const publication of publications) {
      const faults = await ensurePublication(postgres, publication, note);
      for (const { table, problem } of faults) problems.set(keyOf(table), problem);
    }
    this.#leave(problems);
    const followed = sinks.filter(({ name }) => !this.#leftOut.has(name));
    const [problem] = this.#leftOut.values();
    if (followed.length === 0 && problem !== undefined) throw new StreamUnavailable(problem);
    return followed;
  }

  /**
   * A table that no longer is what a sink needs, or is so again, is found here, and not by statements that fail later.
   * @throws Error when others than these can be given something, or lack changes: the stream has to begin again.
   */
  async check(names: readonly string[]): Promise<void> {
    const followed = await this.publish();
    const isSame = followed.length === names.length && followed.every(({ name }, place) => name === names[place]);
    const lacking = await this.#positions.lackingChanges();
    if (!isSame || names.some((name) => lacking.has(name)))
      throw new Error('the tables that are followed have changed');
  }

  #leave(problems: ReadonlyMap<string, string>): void {
    const { sinks, log } = this.#parts;
    const leftOut = new Map<string, string>();
    for (const { name, watches } of sinks) {
      const problem = watches.map((watch) => problems.get(keyOf(watch))).find((one) => one);
      if (problem === undefined) continue;
      leftOut.set(name, problem);
      if (this.#leftOut.get(name) !== problem) log.error({ event: 'changes.sink-left-out', sink: name, problem });
    }
    this.#leftOut = leftOut;
  }
}
