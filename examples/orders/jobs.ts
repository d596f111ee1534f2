import { defineJobs, defineQueue, defineSchedule } from 'treadle';
import { reportDay } from './contracts.ts';
import { announceShippingHandler, confirmOrderHandler, reportDayHandler } from './handlers.ts';

/** What TREADLE_JOBS=./jobs.ts loads. */
export default defineJobs({
  handlers: [confirmOrderHandler, announceShippingHandler, reportDayHandler],
  queues: [defineQueue({ name: 'mail', concurrency: 5 })],
  schedules: [
    defineSchedule({ name: 'orders.report-day', job: reportDay, cron: '0 7 * * *', timeZone: 'Europe/Berlin' }),
  ],
});
