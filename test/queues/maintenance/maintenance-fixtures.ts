import { randomUUID } from 'node:crypto';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { Postgres } from '../../../src/lib/postgres/postgres.ts';
import { Subscription } from '../../../src/lib/postgres/subscription.ts';
import { PgBossClient } from '../../../src/queues/maintenance/pg-boss-client.ts';
import { PgBossConsumer } from '../../../src/queues/maintenance/pg-boss-consumer.ts';
import { PgBossTransport } from '../../../src/queues/maintenance/pg-boss-transport.ts';
import type { Attempt, Disposition, QueueItem, RunAttempt } from '../../../src/queues/transport.ts';

export const queue = 'maintenance';
/** The least that pg-boss allows. */
export const lockMs = 10_000;

export const itemOf = (note: string, returns = 0): QueueItem => {
  const id = randomUUID();
  return {
    id: returns === 0 ? id : `${id}.${returns}`,
    name: 'maintenance.note',
    envelope: {
      payload: { note },
      tenant: '',
      attemptsMade: 0,
      attemptsAllowed: 5,
      timeoutMs: 60_000,
      returns,
      tracked: true,
    },
  };
};

export interface MaintenanceProcess {
  readonly postgres: Postgres;
  readonly client: PgBossClient;
  readonly transport: PgBossTransport;
  consume(run: RunAttempt, options?: { readonly concurrency?: number; readonly pollMs?: number }): PgBossConsumer;
  close(): Promise<void>;
}

/** The connections and the pg-boss that one process has. */
export const openMaintenance = (url: string, name = 'maintenance'): MaintenanceProcess => {
  const log = createLog({ level: 'silent' });
  const postgres = new Postgres(
    { url, directUrl: url, poolSize: 5, statementTimeoutMs: 10_000, applicationName: name },
    log,
  );
  const subscription = new Subscription(postgres, log);
  const client = new PgBossClient(postgres.pool, log, { superviseSeconds: 1 });
  const consumers: PgBossConsumer[] = [];
  return {
    postgres,
    client,
    transport: new PgBossTransport(client, { queue, lockMs }),
    consume: (run, { concurrency = 2, pollMs = 5_000 } = {}) => {
      const consumer = new PgBossConsumer(
        { client, subscription, log, pollMs },
        { queue, concurrency, lockMs, run, runsTogether: () => false },
      );
      consumers.push(consumer);
      return consumer;
    },
    close: async () => {
      await Promise.all(consumers.map((consumer) => consumer.close()));
      await client.close();
      await subscription.close();
      await postgres.close();
    },
  };
};

export interface Recorder {
  readonly run: RunAttempt;
  readonly notes: string[];
  readonly attempts: Attempt[];
}

/** Notes what it was given, and answers what the test says. */
export const recorder = (
  answer: (attempt: Attempt) => Disposition | Promise<Disposition> = () => 'remove',
): Recorder => {
  const notes: string[] = [];
  const attempts: Attempt[] = [];
  return {
    notes,
    attempts,
    run: async (attempt) => {
      notes.push(String(attempt.delivery.envelope.payload?.['note']));
      attempts.push(attempt);
      return answer(attempt);
    },
  };
};
