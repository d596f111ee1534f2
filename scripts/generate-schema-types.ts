import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { ownServer } from '../src/lib/embedded/own-server.ts';
import { createLog } from '../src/lib/log/create-log.ts';
import { migrateAll } from '../src/queues/migrations/migrate-all.ts';
import { schemaTypes } from './schema-types.ts';

const target = path.join(import.meta.dirname, '../src/lib/postgres/schema.generated.ts');

const dataDir = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-types-'));
await fs.chmod(dataDir, 0o755);
try {
  const log = createLog({ level: 'warn' });
  const server = await ownServer({ dataDir, log, settings: { fsync: 'off' } });
  try {
    await migrateAll(server.url, log);
    await fs.writeFile(target, await schemaTypes(server.url));
  } finally {
    await server.close();
  }
} finally {
  await fs.rm(dataDir, { recursive: true, force: true });
}
