import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll } from 'vitest';
import { ConsumerPositions } from '../../../src/domain/events/consumers/consumer-positions.ts';
import { ConsumerRunner } from '../../../src/domain/events/consumers/consumer-runner.ts';
import {
  defineConsumer,
  type ConsumerOptions,
  type EventConsumer,
} from '../../../src/domain/events/consumers/define-consumer.ts';
import type { DomainEvent, NewEvent } from '../../../src/domain/events/domain-event.ts';
import { loadConfig } from '../../../src/lib/config/load-config.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import type { Queryable } from '../../../src/lib/postgres/queryable.ts';
import { createPlatform, type Platform } from '../../../src/platform.ts';
import type { TestDatabase } from '../../services/database.ts';

/** As if in a process of its own. */
export interface TestRunner {
  /** An orderly end. */
  close(): Promise<void>;
  /** Nothing that it does from now on reaches Postgres, and nobody hears that it is gone. */
  kill(): Promise<void>;
}

export interface TestEvents {
  readonly platform: Platform;
  /** Runs a consumer until the block ends. A process that says nothing loses it after 400 ms. */
  run(consumer: EventConsumer): TestRunner;
}

/** A platform over the database, from beforeAll to afterAll. */
export const useEvents = (database: TestDatabase): TestEvents => {
  let platform: Platform;
  const runners: TestRunner[] = [];
  beforeAll(async () => {
    const { url } = database;
    platform = await createPlatform(
      loadConfig({ DATABASE_URL: url }),
      createLog({ level: process.env['TEST_LOG_LEVEL'] ?? 'silent' }),
      { url, directUrl: url, embedded: false, close: () => Promise.resolve() },
    );
  });
  afterAll(async () => {
    for (const runner of runners) await runner.close();
    await platform?.close();
  });
  return {
    get platform() {
      return platform;
    },
    run: (consumer) => {
      let alive = true;
      const db: Queryable = {
        query: (text, values) =>
          alive ? platform.postgres.query(text, values) : Promise.reject(new Error('this process is no more')),
      };
      const runner = new ConsumerRunner({
        consumer,
        positions: new ConsumerPositions(db),
        events: platform.eventLog,
        platform,
        log: platform.log,
        loop: platform.loops.watch(consumer.name, 60_000),
        count: () => undefined,
        leaseMs: 400,
      });
      runner.start();
      const running = {
        close: () => runner.close(2_000),
        kill: () => {
          alive = false;
          return runner.close(0);
        },
      };
      runners.push(running);
      return running;
    },
  };
};

/** A name that no other test has. */
export const newName = (): string => `t${randomBytes(5).toString('hex')}`;

export const newEvent = (type: string, fields: Partial<NewEvent> = {}): NewEvent => ({
  type: `${type}.happened`,
  aggregateId: 'a',
  ...fields,
});

/** A consumer that notes what it is told. */
export const noting = (
  name: string,
  {
    handle = () => undefined,
    ...options
  }: Partial<Omit<ConsumerOptions, 'handle' | 'handleBatch'>> & {
    readonly handle?: (event: DomainEvent) => unknown;
  } = {},
): { readonly consumer: EventConsumer; readonly seen: string[] } => {
  const seen: string[] = [];
  const consumer = defineConsumer({
    name,
    types: [`${name}.*`],
    backoff: { delayMs: 1, maxDelayMs: 5 },
    ...options,
    handle: async (event) => {
      await handle(event);
      seen.push(event.id);
    },
  });
  return { consumer, seen };
};

export const idsOf = (events: readonly { readonly id: string }[]): readonly string[] => events.map(({ id }) => id);
