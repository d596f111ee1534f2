import { createLog } from '../../src/lib/log/create-log.ts';
import { Shutdown } from '../../src/lib/shutdown/shutdown.ts';

// Ends in the way that the first argument names; prints what happens.
const shutdown = new Shutdown({ log: createLog({ level: 'silent' }), graceMs: 400 });
const keepAlive = setInterval(() => undefined, 1_000);
shutdown.onClose('first', () => {
  console.log('closed first');
  clearInterval(keepAlive);
});
shutdown.onClose('second', () => console.log('closed second'));

const never = new Promise<void>(() => undefined);
const untilAborted = async (signal: AbortSignal): Promise<string> => {
  await new Promise((resolve) => signal.addEventListener('abort', resolve));
  return 'third';
};
const ways: Readonly<Record<string, () => void>> = {
  waiting: () => undefined,
  failing: () => shutdown.onClose('failing', () => Promise.reject(new Error('it does not close'))),
  late: () => shutdown.onClose('late', () => never),
  slow: () =>
    shutdown.onClose('slow', async () => {
      console.log('closing');
      await new Promise((resolve) => setTimeout(resolve, 300));
    }),
  stuck: () =>
    shutdown.onClose('stuck', () => {
      console.log('closing');
      return never;
    }),
  starting: () => {
    void shutdown
      .start('third', untilAborted, (started) => console.log(`closed ${started}`))
      .catch((error: unknown) => console.log(error instanceof Error ? error.message : ''));
  },
  throwing: () =>
    setTimeout(() => {
      throw new Error('nobody catches this');
    }, 10),
  rejecting: () => setTimeout(() => void Promise.reject(new Error('nobody catches this')), 10),
  finishing: () => shutdown.begin('finished', 0),
};
ways[process.argv[2] ?? '']?.();
console.log('ready');
