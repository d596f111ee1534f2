import { beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { defineJob } from '../../src/queues/define-job.ts';
import { builtInQueues } from '../../src/queues/define-queue.ts';
import { JobRegistry, publishContracts } from '../../src/queues/job-registry.ts';
import { prepareJob } from '../../src/queues/enqueue/prepare-job.ts';
import { useDatabase } from '../services/database.ts';

const plain = defineJob({ name: 'things.plain', payload: z.object({}), attempts: 3, timeoutMs: 7_000, priority: 4 });
const latest = defineJob({ name: 'things.latest', payload: z.object({}), deduplicateBy: ['a.b', 'c'] });

const database = useDatabase();
beforeAll(() => publishContracts(database.postgres, new JobRegistry([plain, latest], builtInQueues)));

const enqueue = async (name: string, payload: unknown, options: unknown = {}): Promise<string> => {
  const [row] = await database.query<{ id: string }>('SELECT treadle.enqueue($1, $2, $3) AS id', [
    name,
    JSON.stringify(payload),
    JSON.stringify(options),
  ]);
  return row?.id ?? '';
};
const jobOf = async (id: string): Promise<Record<string, unknown> | undefined> =>
  (await database.query('SELECT *, state::text FROM treadle.jobs WHERE id = $1', [id]))[0];

test('SQL enqueues with the defaults of the contract', async () => {
  expect(await jobOf(await enqueue('things.plain', { workspaceId: 'w' }))).toMatchObject({
    name: 'things.plain',
    queue: 'default',
    state: 'accepted',
    priority: 4,
    tenant: 'w',
    payload: { workspaceId: 'w' },
    tags: [],
    attempts_allowed: 3,
    timeout_ms: 7_000,
    deduplication_key: null,
  });
});

test.for<[string | number, string]>([
  ['w', 'w'],
  [5, '5'],
])('the workspace %o is the tenant %o, from SQL as from TypeScript', async ([workspaceId, tenant]) => {
  expect(await jobOf(await enqueue('things.plain', { workspaceId }))).toMatchObject({ tenant });
  expect(prepareJob(plain, { workspaceId }, undefined, undefined)).toMatchObject({ job: { tenant } });
});

test('SQL enqueues with every option', async () => {
  const options = {
    priority: 1,
    tenant: 't',
    tags: ['a', 'b'],
    attempts: 9,
    timeoutMs: 5,
    deduplicationKey: 'k',
  };
  expect(await jobOf(await enqueue('things.plain', {}, { ...options, delayMs: 60_000 }))).toMatchObject({
    state: 'delayed',
    priority: 1,
    tenant: 't',
    tags: ['a', 'b'],
    attempts_allowed: 9,
    timeout_ms: 5,
    deduplication_key: 'k',
  });
  const parent = await enqueue('things.plain', {});
  expect(await jobOf(await enqueue('things.plain', {}, { parent }))).toMatchObject({ parent_id: parent });
  const runAt = new Date(Date.now() + 3_600_000);
  expect(await jobOf(await enqueue('things.plain', {}, { runAt }))).toMatchObject({ state: 'delayed', due_at: runAt });
  expect(await jobOf(await enqueue('things.plain', {}, { delayMs: 0 }))).toMatchObject({ state: 'accepted' });
});

test('a job of the same values at the paths of its contract takes the new payload', async () => {
  const first = await enqueue('things.latest', { a: { b: 1 }, c: 'x', text: 'first' });
  expect(await enqueue('things.latest', { a: { b: 1 }, c: 'x', text: 'second' })).toBe(first);
  expect(await enqueue('things.latest', { a: { b: 2 }, c: 'x' })).not.toBe(first);
  expect(await enqueue('things.latest', { a: { b: 1 }, c: 'x' }, { tenant: 'other' })).not.toBe(first);
  expect(await jobOf(first)).toMatchObject({ payload: { a: { b: 1 }, c: 'x', text: 'second' } });
});

test('an idempotency key answers the job of its first use, also where that joined a waiting one', async () => {
  const once = await enqueue('things.plain', { n: 1 }, { idempotencyKey: 'once' });
  expect(await enqueue('things.plain', { n: 1 }, { idempotencyKey: 'once' })).toBe(once);
  await expect(enqueue('things.plain', { n: 2 }, { idempotencyKey: 'once' })).rejects.toMatchObject({ code: '23505' });

  const waiting = await enqueue('things.latest', { c: 'joined' });
  expect(await enqueue('things.latest', { c: 'joined' }, { idempotencyKey: 'joined' })).toBe(waiting);
  expect(await enqueue('things.latest', { c: 'joined' }, { idempotencyKey: 'joined' })).toBe(waiting);
});

test('an option that is null is as if it were not given', async () => {
  const nothing = { tenant: null, tags: null, parent: null, idempotencyKey: null, debounceMs: null, delayMs: 5_000 };
  expect(await jobOf(await enqueue('things.plain', {}, nothing))).toMatchObject({ state: 'delayed', tenant: '' });
});

test.for<[object, string]>([
  [{ delayMs: '5' }, 'delayMs must be a number'],
  [{ debounceMs: 1.5 }, 'debounceMs must be a whole number from 0 to 31622400000'],
  [
    { attempts: 1001, timeoutMs: 0 },
    'attempts must be a whole number from 1 to 1000; timeoutMs must be a whole number',
  ],
  [{ tags: [null] }, 'tags must be at most 50 texts'],
  [{ tags: [''] }, 'tags must be at most 50 texts'],
  [{ runAt: 'infinity' }, 'runAt must be a time'],
  [{ runAt: '-infinity' }, 'runAt must be a time'],
  [{ runAt: '294000-01-01T00:00:00Z' }, 'runAt must be a time'],
  [{ runAt: 'soon' }, 'runAt must be a time'],
  [{ tenant: 'x'.repeat(201) }, 'tenant must be at most 200 characters'],
  [{ deduplicationKey: '' }, 'deduplicationKey must be from 1 to 500 characters'],
  [{ parent: 'mother' }, 'parent must be the id of a job'],
])('SQL names what is wrong with %j', async ([options, message]) => {
  await expect(enqueue('things.plain', {}, options)).rejects.toThrow(`treadle.enqueue: ${message}`);
});

test.for<[string, string, unknown, unknown]>([
  ['an unknown name', 'things.unheard', {}, {}],
  ['an unknown option', 'things.plain', {}, { delay: 5 }],
  ['a payload that is no object', 'things.plain', [1], {}],
  ['options that are no object', 'things.plain', {}, [1]],
  ['a negative delay', 'things.plain', {}, { delayMs: -1 }],
  ['a delay that is no number', 'things.plain', {}, { delayMs: 'soon' }],
  ['delayMs beside runAt', 'things.plain', {}, { delayMs: 1, runAt: '2030-01-01T00:00:00Z' }],
  ['priority 0', 'things.plain', {}, { priority: 0 }],
  ['priority 10', 'things.plain', {}, { priority: 10 }],
  ['no attempts', 'things.plain', {}, { attempts: 0 }],
  ['a tenant that is too long', 'things.plain', { workspaceId: 'x'.repeat(201) }, {}],
  ['no time', 'things.plain', {}, { timeoutMs: 0 }],
  ['tags that are no list', 'things.plain', {}, { tags: 'a' }],
  ['a parent that is no id', 'things.plain', {}, { parent: 'mother' }],
])('SQL is refused %s', async ([, name, payload, options]) => {
  const [before] = await database.query('SELECT count(*) AS jobs FROM treadle.jobs');
  await expect(enqueue(name, payload, options)).rejects.toMatchObject({ code: expect.stringMatching(/^2[23]/) });
  expect(await database.query('SELECT count(*) AS jobs FROM treadle.jobs')).toEqual([before]);
});
