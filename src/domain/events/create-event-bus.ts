import type { LoopWatch } from '../../lib/health/loop-watch.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Subscription } from '../../lib/postgres/subscription.ts';
import type { Meter } from '../../lib/telemetry/meter.ts';
import { EventConsumers } from './consumers/event-consumers.ts';
import { EventAnnouncer } from './event-announcer.ts';
import { EventBus } from './event-bus.ts';
import { EventLog } from './event-log.ts';
import { EventRecord } from './postgres/event-record.ts';

export interface EventParts {
  readonly postgres: Postgres;
  readonly subscription: Subscription;
  readonly meter: Meter;
  readonly loops: LoopWatch;
  readonly log: Log;
}

/** What a process publishes and follows events with. */
export interface Events {
  readonly events: EventBus;
  readonly eventConsumers: EventConsumers;
  /** The order of events, for those who keep a position in it. */
  readonly eventLog: EventLog;
}

export const createEventBus = ({
  postgres,
  subscription,
  meter,
  loops,
  log,
}: EventParts): Events & { readonly closeEvents: () => Promise<void> } => {
  const record = new EventRecord(postgres);
  const eventLog = new EventLog({ record, subscription, log, loops });
  const announcer = new EventAnnouncer(postgres);
  const eventConsumers = new EventConsumers(postgres);
  const events = new EventBus({
    record,
    events: eventLog,
    announcer,
    published: meter.counter('treadle_events_published_total', 'Events published by this process.').with({}),
    handlerErrors: meter.counter('treadle_event_handler_errors_total', 'Events that a subscribed handler threw at.'),
    log,
  });
  meter.addSource('event-consumers', () => eventConsumers.metrics());
  return {
    events,
    eventConsumers,
    eventLog,
    closeEvents: async () => {
      events.close();
      await eventLog.close();
      await announcer.close();
    },
  };
};
