import type { Redis } from 'ioredis';
import { setImmediate as turn } from 'node:timers/promises';

const askEveryMs = 1_000;
const silentAfterMs = 5_000;

/**
 * Ends a connection whose server is silent for five seconds, so that the client makes another, to the new master after a
 * failover. Without it a server that hangs, or a network that swallows packets, holds commands for a quarter of an hour.
 */
export const watchConnection = (client: Redis): void => {
  let askedAt: number | undefined;
  const ask = (): void => {
    askedAt = performance.now();
    const answered = (): void => {
      askedAt = undefined;
    };
    // An error is an answer too.
    client.ping().then(answered, answered);
  };
  const look = async (): Promise<void> => {
    if (client.status !== 'ready') askedAt = undefined;
    else if (askedAt === undefined) ask();
    else if (performance.now() - askedAt >= silentAfterMs) {
      // The answer may be there, unread: this process may have been the one that stood still.
      await turn();
      if (askedAt === undefined || client.status !== 'ready') return;
      askedAt = undefined;
      client.disconnect(true);
    }
  };
  const timer = setInterval(() => void look(), askEveryMs).unref();
  client.once('end', () => clearInterval(timer));
};
