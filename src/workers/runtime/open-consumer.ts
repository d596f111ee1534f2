import type { Platform } from '../../platform.ts';
import type { Consumer, ConsumerOptions } from '../../queues/transport.ts';

/** Begins to take items of a queue, by the transport that carries it. */
export const openConsumer = async (
  { registry, transports, subscription, log }: Platform,
  options: ConsumerOptions,
): Promise<Consumer> => {
  if (registry.queue(options.queue).transport === 'bullmq') {
    const { BullConsumer } = await import('./bull-consumer.ts');
    return new BullConsumer(await transports.bull(), options, log);
  }
  const { PgBossConsumer } = await import('../../queues/maintenance/pg-boss-consumer.ts');
  const consumer = new PgBossConsumer({ client: await transports.pgBoss(), subscription, log }, options);

  return consumer;
};
