import { createLog } from '../../src/lib/log/create-log.ts';
import { migrateUp } from '../../src/lib/migrations/migrate.ts';
import { withMigrationLock } from '../../src/lib/migrations/with-migration-lock.ts';

// Applies the migrations of a folder, as `treadle migrate up` does Treadle's own, and prints what it applied.
const [url = '', folder = ''] = process.argv.slice(2);
const log = createLog({ level: 'silent' });
const applied = await withMigrationLock(url, log, (client) => migrateUp(client, log, folder));
console.log(JSON.stringify(applied));
