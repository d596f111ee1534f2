import fs from 'node:fs/promises';
import { Client } from 'pg';

const client = new Client({ connectionString: process.env['DATABASE_URL'] });
await client.connect();
await client.query(await fs.readFile(new URL('schema.sql', import.meta.url), 'utf8'));
await client.end();
