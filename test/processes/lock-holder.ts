import { loadConfig } from '../../src/lib/config/load-config.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { createPlatform } from '../../src/platform.ts';

// Takes the lock of `counter`, which lasts half a second, over and over, and counts: reads the number, waits for HOLD_MS, and
// writes the next one, with its fencing token, in a transaction that checks it. Prints what became of each write, and `lost`
// when it is told that it lost the lock. Ends with SIGTERM.
const name = process.argv[2] ?? '';
const holdMs = Number(process.env['HOLD_MS']);
const config = loadConfig(process.env);
const url = config.database.url ?? '';
const platform = await createPlatform(config, createLog({ level: config.logLevel }), {
  url,
  directUrl: url,
  embedded: false,
  close: () => Promise.resolve(),
});
const { postgres, locks } = platform;
const ending = new AbortController();
process.once('SIGTERM', () => ending.abort());
console.log('ready');
while (!ending.signal.aborted) {
  const lock = await locks.acquireLock('counter', { ttlMs: 500, retryDelayMs: 20, waitMs: 10_000 });
  if (!lock) continue;
  lock.signal.addEventListener('abort', () => console.log('lost'), { once: true });
  const { rows } = await postgres.query<{ n: number }>('SELECT max(n) AS n FROM counts');
  console.log('holds');
  await new Promise((resolve) => setTimeout(resolve, holdMs));
  const outcome = await postgres
    .transaction(
      async (tx) => {
        await locks.checkFence(tx, lock);
        await tx.query('INSERT INTO counts (n, fence, holder) VALUES ($1, $2, $3)', [
          (rows[0]?.n ?? 0) + 1,
          lock.fence,
          name,
        ]);
        // Frozen in here it keeps others waiting for as long.
      },
      { timeoutMs: 2_000 },
    )
    .then(
      () => 'accepted',
      () => 'refused',
    );
  console.log(`${outcome} ${lock.fence}`);
  await locks.releaseLock(lock);
  // The other one's turn.
  await new Promise((resolve) => setTimeout(resolve, 60));
}
await platform.close();
console.log('ended');
