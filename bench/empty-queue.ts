import { BullTransport } from '../src/queues/bullmq/bull-transport.ts';
import type { QueueTransport } from '../src/queues/transport.ts';

/** Takes everything out of a queue of BullMQ's whose jobs the ledger has forgotten. */
export const emptyQueue = async (transport: QueueTransport): Promise<void> => {
  if (transport instanceof BullTransport) await transport.bull.obliterate({ force: true });
};
