import { ownServer } from '../../src/lib/embedded/own-server.ts';
import { toAppError } from '../../src/lib/errors/classify.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { Shutdown } from '../../src/lib/shutdown/shutdown.ts';

// Owns the embedded server of a folder until SIGTERM, as a Treadle does; tells how it went in one line of JSON.
const log = createLog({ level: process.env['LOG_LEVEL'] ?? 'silent' });
const shutdown = new Shutdown({ log, graceMs: 20_000 });
try {
  const settings = { fsync: 'off' };
  const server = await shutdown.start(
    'postgres',
    (signal) => ownServer({ dataDir: process.argv[2] ?? '', log, settings, signal }),
    (started) => started.close(),
  );
  console.log(JSON.stringify({ url: server.url, how: server.how, serverPid: server.pid() }));
  const keepAlive = setInterval(() => undefined, 60_000);
  shutdown.onClose('wait', () => clearInterval(keepAlive));
} catch (error) {
  const { code, message } = toAppError(error);
  console.log(JSON.stringify({ error: { code, message } }));
  shutdown.begin('failed', 1);
}
