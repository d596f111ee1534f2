import { setTimeout as delay } from 'node:timers/promises';
import { defineConsumer } from '../../src/domain/events/consumers/define-consumer.ts';
import { loadConfig } from '../../src/lib/config/load-config.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { Shutdown } from '../../src/lib/shutdown/shutdown.ts';
import { createPlatform } from '../../src/platform.ts';
import { startEventConsumers } from '../../src/workers/event-consumers.ts';

// Stands for the consumer `tests.orders` of order.*, which takes a few milliseconds for each event and notes it in the table
// `handled`. Who says nothing for a second has lost it.
const config = loadConfig(process.env);
const log = createLog({ level: config.logLevel });
const shutdown = new Shutdown({ log, graceMs: config.shutdownGraceMs });
const url = config.database.url ?? '';
const database = { url, directUrl: url, embedded: false, close: () => Promise.resolve() };
const platform = await createPlatform(config, log, database);
shutdown.onClose('platform', () => platform.close());
const consumer = defineConsumer({
  name: 'tests.orders',
  types: ['order.*'],
  from: 'start',
  batchSize: 20,
  handle: async (event) => {
    await delay(3);
    await platform.postgres.query('INSERT INTO handled (event_id, pid) VALUES ($1, $2)', [event.id, process.pid]);
  },
});
const consumers = startEventConsumers(platform, [consumer], 1_000);
shutdown.onClose('consumers', () => consumers.close(2_000));
console.log('ready');
