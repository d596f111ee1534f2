import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { schemaTypes } from '../../../scripts/schema-types.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase();

test('schema.generated.ts is that of the migrations; `npm run types` writes it', async () => {
  const file = path.join(import.meta.dirname, '../../../src/lib/postgres/schema.generated.ts');
  expect(await readFile(file, 'utf8')).toBe(await schemaTypes(database.url));
});
