import { z } from 'zod';
import { AppError } from '../../../lib/errors/app-error.ts';
import type { Elasticsearch } from '../../../lib/elasticsearch/connect-elasticsearch.ts';
import { monthOf, writeAliasOf, type Month, type SearchesDefinition } from './definition.ts';

const aliases = z.record(z.string(), z.object({ aliases: z.record(z.string(), z.unknown()) }));

/** The indices of searches: makes those that are missing, once a process and month. */
export class MonthlyIndices {
  readonly #elasticsearch: Elasticsearch;
  readonly #definition: SearchesDefinition;
  readonly #made = new Map<Month, Promise<void>>();
  #version: Promise<string> | undefined;

  constructor(elasticsearch: Elasticsearch, definition: SearchesDefinition) {
    this.#elasticsearch = elasticsearch;
    this.#definition = definition;
  }

  /**
   * Makes the index of the present month where there is none, and so the alias. Any number of processes may do so at once.
   * @throws AppError CONFIGURATION_ERROR for a server that is no Elasticsearch 8 or 9, and of {@link Elasticsearch.call}.
   */
  async initialize(): Promise<void> {
    this.#version ??= this.#elasticsearch.checkVersion().catch((error: unknown) => {
      this.#version = undefined;
      throw error;
    });
    await this.#version;
    await this.make([monthOf(new Date())]);
  }

  async make(months: readonly Month[]): Promise<void> {
    for (const month of months) {
      let made = this.#made.get(month);
      if (!made) {
        made = this.#create(this.#definition.indexOf(month)).catch((error: unknown) => {
          this.#made.delete(month);
          throw error;
        });
        this.#made.set(month, made);
      }
      await made;
    }
  }

  /** Looks again which indices there are; after somebody deleted one. */
  forget(): void {
    this.#made.clear();
  }

  /** Of every definition. */
  async names(signal: AbortSignal): Promise<readonly string[]> {
    const answer = await this.#elasticsearch.call(
      (client, options) => client.indices.getAlias({ name: this.#definition.alias }, { ...options, ignore: [404] }),
      { signal },
    );
    const found = aliases.safeParse(answer);
    return found.success ? Object.keys(found.data) : [];
  }

  async drop(index: string, signal: AbortSignal): Promise<void> {
    await this.#elasticsearch.call(
      (client, options) => client.indices.delete({ index, ignore_unavailable: true }, options),
      { signal },
    );
    this.forget();
  }

  async #create(index: string): Promise<void> {
    const { alias, settings, mappings } = this.#definition;
    try {
      await this.#elasticsearch.call((client, options) =>
        client.indices.create(
          { index, settings, mappings, aliases: { [alias]: {}, [writeAliasOf(index)]: { is_write_index: true } } },
          options,
        ),
      );
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'EXTERNAL_SERVICE_ERROR') throw error;
      const isThere = await this.#elasticsearch.call((client, options) => client.indices.exists({ index }, options));
      // Else somebody was faster.
      if (!isThere) throw error;
    }
  }
}
