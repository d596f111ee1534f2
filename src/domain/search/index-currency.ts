import type { Log } from '../../lib/log/create-log.ts';
import { isOfDefinition } from './indexes/index-definition.ts';
import type { SearchIndex } from './indexes/search-index.ts';

/** An index that is further behind its tables is not searched. */
const longestLagMs = 30_000;
const rememberedMs = 1_000;

/** Why an index is not searched now; undefined: it is current. */
export const whyNotCurrent = async ({ source, states, name }: SearchIndex): Promise<string | undefined> => {
  const { state, heardAt, behindMs, problem, error } = await states.progress(name);
  // What keeps it from being built, too.
  if (problem !== null) return problem;
  if (state === 'unavailable' && error !== null) return error;
  const record = await states.read(name);
  if (record?.live == null)
    return heardAt === null ? 'it is not built yet, and no replicator runs' : 'it is not built yet';
  if (!isOfDefinition(record.live, source.definition)) return 'it is of another definition, and has to be rebuilt';
  if (record.suspect !== null) return record.suspect;
  if (heardAt === null) return 'no replicator runs';
  if (behindMs !== null && behindMs <= longestLagMs) return undefined;
  return error ?? 'it is behind its tables';
};

/** Knows whether an index shows its tables as they are, give or take some seconds. */
export class IndexCurrency {
  readonly #index: SearchIndex;
  readonly #log: Log;
  #asked: { readonly at: number; readonly answer: Promise<string | undefined> } | undefined;
  #last: string | undefined;

  constructor(index: SearchIndex, log: Log) {
    this.#index = index;
    this.#log = log;
  }

  /** Asks Postgres once a second at most. */
  async isCurrent(): Promise<boolean> {
    const now = performance.now();
    if (!this.#asked || now - this.#asked.at > rememberedMs) this.#asked = { at: now, answer: this.#ask() };
    return (await this.#asked.answer) === undefined;
  }

  async #ask(): Promise<string | undefined> {
    const why = await whyNotCurrent(this.#index).catch(() => 'Postgres does not say whether it is current');
    if (why !== this.#last) {
      if (why === undefined) this.#log.info({ event: 'search.index-current', index: this.#index.name });
      else this.#log.warn({ event: 'search.index-not-current', index: this.#index.name, reason: why });
    }
    this.#last = why;
    return why;
  }
}
