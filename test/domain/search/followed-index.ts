import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { Replicator, type ReplicatorParts } from '../../../src/changes/replicator.ts';
import { SearchSink } from '../../../src/changes/sinks/search-sink.ts';
import type { DocumentKey } from '../../../src/domain/search/indexes/index-source.ts';
import { rebuildIndex, type RebuildOptions, type Rebuilt } from '../../../src/domain/search/indexes/rebuild-index.ts';
import type { SearchIndex } from '../../../src/domain/search/indexes/search-index.ts';
import { verifyIndex, type Verification, type VerifyOptions } from '../../../src/domain/search/indexes/verify-index.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import type { Postgres } from '../../../src/lib/postgres/postgres.ts';
import { dropSlot } from '../../../src/lib/replication/slot.ts';

const never = new AbortController().signal;
const publicationOf = ({ source }: SearchIndex): string =>
  source.tables.some(({ schema }) => schema === 'treadle') ? 'treadle' : 'treadle_app';

export type IndexedSource = Readonly<Record<string, unknown>> & { readonly id: string };

/** Hooks have no `expect.poll`. */
export const until = async (
  look: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 20_000,
): Promise<void> => {
  for (const deadline = performance.now() + timeoutMs; !(await look());) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await delay(10);
  }
};

/** An index that follows its tables by a replicator in this process; jobs that are asked for are only noted. */
export class FollowedIndex {
  readonly index: SearchIndex;
  readonly postgres: Postgres;
  readonly replicator: Replicator;
  readonly slot: string;
  /** Why rebuilds were asked for. */
  readonly rebuilds: string[] = [];
  /** Documents that Elasticsearch refused. */
  readonly refused: DocumentKey[] = [];
  verifications = 0;

  constructor(postgres: Postgres, index: SearchIndex, more: Partial<ReplicatorParts> = {}) {
    this.index = index;
    this.postgres = postgres;
    this.slot = more.slot ?? `followed_${process.pid}_${randomBytes(5).toString('hex')}`;
    const log = createLog({ level: process.env['TEST_LOG_LEVEL'] ?? 'silent' });
    const sink = new SearchSink({
      index,
      log,
      requestRebuild: (_, reason) => {
        this.rebuilds.push(reason);
        return Promise.resolve();
      },
      requestVerification: () => {
        this.verifications += 1;
        return Promise.resolve();
      },
      keepFailed: (_, failed) => {
        this.refused.push(...failed.map(({ workspaceId, id }) => ({ workspaceId, id })));
        return Promise.resolve();
      },
    });
    this.replicator = new Replicator({
      postgres,
      log,
      sinks: [sink],
      publications: [{ name: publicationOf(index), tables: index.source.tables }],
      heartbeatMs: 100,
      statusMs: 25,
      limits: { patienceMs: 200 },
      ...more,
      slot: this.slot,
    });
  }

  async start(): Promise<void> {
    this.replicator.start();
    await until(() => this.replicator.status.state === 'streaming', 'the replicator streams');
  }

  /** Ends the replicator and leaves the slot to the next. */
  stop(): Promise<void> {
    return this.replicator.close();
  }

  async close(): Promise<void> {
    await this.stop();
    await dropSlot(this.postgres, this.slot);
  }

  rebuild(options: Partial<RebuildOptions> = {}): Promise<Rebuilt> {
    return rebuildIndex(this.index, {
      reason: 'test',
      signal: never,
      onProgress: () => undefined,
      onFailed: (failed) => {
        this.refused.push(...failed.map(({ workspaceId, id }) => ({ workspaceId, id })));
        return Promise.resolve();
      },
      ...options,
    });
  }

  /** Until the index was offered everything that is committed now. */
  current(timeoutMs = 30_000): Promise<void> {
    return this.index.states.awaitCurrent(this.index.name, { signal: never, timeoutMs });
  }

  verify(options: Partial<VerifyOptions> = {}): Promise<Verification> {
    const { alias } = this.index.source.definition.names;
    return verifyIndex(this.index, { alias, signal: never, repair: false, ...options });
  }

  /** What searches can find, read from Elasticsearch directly; of up to 10,000 documents. */
  async searched(): Promise<readonly IndexedSource[]> {
    const { live } = this.index.source.definition.names;
    return this.index.elasticsearch.call(async (client, options) => {
      await client.indices.refresh({ index: live }, options);
      const { hits } = await client.search<IndexedSource>(
        { index: live, size: 10_000, sort: [{ id: 'asc' }] },
        options,
      );
      return hits.hits.flatMap(({ _source: source }) => (source ? [source] : []));
    });
  }

  get sink(): { readonly state: string; readonly waiting: number } | undefined {
    return this.replicator.status.sinks[0];
  }
}

/** That an index has exactly what the tables have, of so many documents. */
export const expectEqual = async (followed: FollowedIndex, documents: number): Promise<void> => {
  expect(await followed.verify()).toEqual({
    documents,
    missing: 0,
    different: 0,
    surplus: 0,
    repaired: 0,
    unsettled: 0,
    refused: [],
    found: [],
  });
};
