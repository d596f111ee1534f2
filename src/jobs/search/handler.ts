import { handle } from '../../queues/handle.ts';
import { completed } from '../../queues/outcome.ts';
import { flushAnalytics } from './contract.ts';

export const flushAnalyticsHandler = handle(flushAnalytics, async ({ platform, signal }) =>
  completed({ queriesForgotten: await platform.searchAnalytics.closeDays(signal) }),
);
