import { ConsumerPositions } from '../domain/events/consumers/consumer-positions.ts';
import { ConsumerRunner } from '../domain/events/consumers/consumer-runner.ts';
import type { EventConsumer } from '../domain/events/consumers/define-consumer.ts';
import type { Platform } from '../platform.ts';

export interface RunningConsumers {
  /** Gives them back; handlers have so long to end. */
  close(graceMs: number): Promise<void>;
}

const silentMs = 60_000;

/** Stands for every durable consumer: of all processes that do, one runs it. `leaseMs`: see {@link ConsumerRunner}. */
export const startEventConsumers = (
  platform: Platform,
  consumers: readonly EventConsumer[],
  leaseMs?: number,
): RunningConsumers => {
  const { postgres, eventLog, meter, loops, log } = platform;
  const deliveries = meter.counter(
    'treadle_event_deliveries_total',
    'Events as consumers of this process handled them, failed with them, or gave them up.',
  );
  const positions = new ConsumerPositions(postgres);
  const runners = consumers.map((consumer) => {
    const { name } = consumer;
    return new ConsumerRunner({
      consumer,
      positions,
      events: eventLog,
      platform,
      log: log.child({ consumer: name }),
      loop: loops.watch(`consumer ${name}`, silentMs),
      count: (outcome, events) => deliveries.with({ consumer: name, outcome }).add(events),
      leaseMs,
    });
  });
  for (const runner of runners) runner.start();
  return {
    close: async (graceMs) => {
      await Promise.all(runners.map((runner) => runner.close(graceMs)));
    },
  };
};
