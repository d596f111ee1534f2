import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runTreadle } from '../cli/run-treadle.ts';
import { OpenAiServer } from '../doubles/openai-server.ts';
import { useDatabase } from '../services/database.ts';
import { useTreadleProcesses } from './treadle-processes.ts';

const documents = 800;
const database = useDatabase();
const processes = useTreadleProcesses();
const openAi = new OpenAiServer();
let folder = '';
beforeAll(async () => {
  await openAi.start();
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-killed-import-'));
});
afterAll(async () => {
  await openAi.stop();
  await fs.rm(folder, { recursive: true, force: true });
});

test('a worker killed while 800 documents are embedded loses none, and asks at most for the batch in flight twice', async () => {
  const file = path.join(folder, 'documents.jsonl');
  const lines = Array.from({ length: documents }, (_, n) =>
    JSON.stringify({ id: `d${n}`, title: `Document ${n}`, content: `Word${n} about the number ${n * 7}.` }),
  );
  await fs.writeFile(file, lines.join('\n'));
  const env = {
    DATABASE_URL: database.url,
    OPENAI_API_KEY: openAi.apiKey,
    OPENAI_BASE_URL: openAi.baseUrl,
    TREADLE_EMBEDDING_DIMENSIONS: '64',
    TREADLE_QUEUES: 'embeddings',
  };
  const embedded = async (): Promise<number> => {
    const [row] = await database.query<{ documents: number }>(
      'SELECT count(DISTINCT entity_id)::int AS documents FROM treadle.embeddings',
    );
    return row?.documents ?? 0;
  };
  const scheduler = await processes.start('scheduler', env);
  const worker = await processes.start('worker', env);
  const imported = await runTreadle(['import', file, '--workspace', 'numbers'], { env });
  expect(imported).toMatchObject({ exitCode: 0 });
  await expect.poll(embedded, { timeout: 60_000 }).toBeGreaterThan(200);
  await processes.end(worker, 'SIGKILL');
  const inFlight = 16;
  expect(await embedded()).toBeLessThan(documents);

  const successor = await processes.start('worker', env);
  await expect.poll(embedded, { timeout: 120_000, interval: 200 }).toBe(documents);
  await expect
    .poll(() => database.query(`SELECT id FROM treadle.jobs WHERE queue = 'embeddings'`), { timeout: 60_000 })
    .toEqual([]);
  const [kept] = await database.query<{ chunks: number; dead: number }>(
    `SELECT (SELECT count(*)::int FROM treadle.embeddings) AS chunks,
       (SELECT count(*)::int FROM treadle.finished_jobs WHERE state = 'dead') AS dead`,
  );
  expect(kept).toEqual({ chunks: documents, dead: 0 });

  const asked = openAi.requests.flatMap(({ input }) => input);
  expect(new Set(asked).size).toBe(documents);
  expect(asked.length - documents).toBeLessThanOrEqual(inFlight);
  expect(await processes.end(successor)).toBe(0);
  expect(await processes.end(scheduler)).toBe(0);
});
