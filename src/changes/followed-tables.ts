import type { Log } from '../lib/log/create-log.ts';
import type { Postgres } from '../lib/postgres/postgres.ts';
import { ensurePublication, StreamUnavailable, type Publication } from '../lib/replication/requirements.ts';
import type { Sink } from './change-batch.ts';

export interface FollowedTablesParts {
  readonly postgres: Postgres;
  readonly log: Log;
  readonly sinks: readonly Sink[];
  readonly publications: readonly Publication[];
}

/** The tables that sinks watch: which are published, and which sinks can be given nothing, since one of theirs is not. */
export class FollowedTables {
  readonly #parts: FollowedTablesParts;
  #leftOut: ReadonlyMap<string, string> = new Map();
  #unpublished: ReadonlySet<string> = new Set();

  constructor(parts: FollowedTablesParts) {
    this.#parts = parts;
  }

  /** Sinks that watch a table that can't be followed, and why it can't. */
  get leftOut(): ReadonlyMap<string, string> {
    return this.#leftOut;
  }

  /** Whether changes of a table of the sink were not told, since it was in no publication. */
  lacksChanges({ watches }: Sink): boolean {
    return watches.some(({ schema, table }) => this.#unpublished.has(`${schema}.${table}`));
  }

  /** All sinks that lacked changes have started over. */
  startedOver(): void {
    this.#unpublished = new Set();
  }

  /**
   * The sinks that can be given something: all tables that they watch are published.
   * @throws StreamUnavailable when there are none.
   */
  async publish(): Promise<readonly Sink[]> {
    const { postgres, publications, sinks, log } = this.#parts;
    const unpublished = new Set(this.#unpublished);
    const problems = new Map<string, string>();
    for (const publication of publications) {
      const { added, faults } = await ensurePublication(postgres, publication);
      for (const { schema, table } of added) unpublished.add(`${schema}.${table}`);
      for (const { table, problem } of faults) problems.set(`${table.schema}.${table.table}`, problem);
    }
    if (unpublished.size > this.#unpublished.size) log.warn({ event: 'changes.published', tables: [...unpublished] });
    this.#unpublished = unpublished;
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
    if (!isSame || this.#unpublished.size > 0) throw new Error('the tables that are followed have changed');
  }

  #leave(problems: ReadonlyMap<string, string>): void {
    const { sinks, log } = this.#parts;
    const leftOut = new Map<string, string>();
    for (const { name, watches } of sinks) {
      const problem = watches.map(({ schema, table }) => problems.get(`${schema}.${table}`)).find((one) => one);
      if (problem === undefined) continue;
      leftOut.set(name, problem);
      if (this.#leftOut.get(name) !== problem) log.error({ event: 'changes.sink-left-out', sink: name, problem });
    }
    this.#leftOut = leftOut;
  }
}
