import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { main } from '../../src/cli/treadle.ts';

// Runs the command lines that it is sent, one after another, each with an environment of its own, as `bin/treadle.js` runs
// one. What a command prints goes to this process's own streams; then its mark follows on both, on standard output with how
// it ended.
const patienceMs = 10_000;
const given = z.object({ mark: z.string(), args: z.array(z.string()), env: z.record(z.string(), z.string()) });

/** What keeps a process from ending: here its own streams, before it was sent a command. */
let own: readonly string[] = [];

const leftOpen = (): readonly string[] => {
  const left = process.getActiveResourcesInfo();
  for (const kind of own) {
    const index = left.indexOf(kind);
    if (index >= 0) left.splice(index, 1);
  }
  return left;
};

/** A process of its own would end when nothing is open any more; answers what is open still. */
const untilItWouldEnd = async (): Promise<readonly string[]> => {
  for (const deadline = Date.now() + patienceMs; leftOpen().length > 0 && Date.now() < deadline;) {
    await delay(5, undefined, { ref: false });
  }
  return leftOpen();
};

const run = async (message: unknown): Promise<void> => {
  const { mark, args, env } = given.parse(message);
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, env);
  const exitCode = await main(args);
  const left = await untilItWouldEnd();
  process.stdout.write(`${mark}${JSON.stringify({ exitCode, left })}\n`);
  process.stderr.write(`${mark}\n`);
};

// Each command listens to the streams, which a process of its own would have.
for (const stream of [process.stdout, process.stderr]) stream.setMaxListeners(0);
process.on('message', (message) => void run(message));
process.once('disconnect', () => process.exit());
own = process.getActiveResourcesInfo();
process.send?.('ready');
