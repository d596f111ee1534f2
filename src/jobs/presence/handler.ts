import { handle } from '../../queues/handle.ts';
import { completed } from '../../queues/outcome.ts';
import { cleanInactive } from './contract.ts';

export const cleanInactiveHandler = handle(cleanInactive, async ({ platform, signal }) =>
  completed(await platform.presence.cleanupInactiveUsers(signal)),
);
