import type { Platform } from '../../platform.ts';
import { LedgerBundles } from './ledger-bundles.ts';
import type { Consumer, ConsumerOptions } from '../../queues/transport.ts';

/** Begins to take items of a queue, by the transport that carries it. */
export const openConsumer = async (
  { postgres, registry, transports, subscription, loops, log }: Platform,
  options: ConsumerOptions,
): Promise<Consumer> => {
  if (registry.queue(options.queue).transport === 'bullmq') {
    const { BullConsumer } = await import('./bull-consumer.ts');
    const bundles = new LedgerBundles(postgres, transports, log);
    return new BullConsumer({ connection: await transports.bull(), bundles, loops, log }, options);
  }
  const { PgBossConsumer } = await import('../../queues/maintenance/pg-boss-consumer.ts');
  return new PgBossConsumer({ client: await transports.pgBoss(), subscription, loops, log }, options);
};
