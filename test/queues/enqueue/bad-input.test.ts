import { expect, test } from 'vitest';
import { z } from 'zod';
import { defineJob } from '../../../src/queues/define-job.ts';
import { useDatabase } from '../../services/database.ts';
import { useTreadle } from '../use-treadle.ts';

const loose = defineJob({ name: 'bad.loose', payload: z.looseObject({}) });
const strict = defineJob({
  name: 'bad.strict',
  payload: z.strictObject({
    id: z.uuid(),
    amount: z.number().int().min(1).max(10),
    kind: z.enum(['card', 'cash']),
    names: z.array(z.string().max(3)).max(2),
  }),
});
const database = useDatabase();
const treadle = useTreadle({ database, contracts: [loose, strict], handlers: [] });

const cycle: Record<string, unknown> = {};
cycle['self'] = cycle;
let deep: unknown = {};
for (let level = 0; level < 300; level += 1) deep = { deep };

test.for<[string, unknown, Record<string, unknown>, RegExp]>([
  ['a cycle', cycle, {}, /payload\.self\.self.*… *: cannot be written as JSON: it is cyclic or nested deeper/],
  ['too many levels', { deep }, {}, /nested deeper than 200 levels/],
  ['a BigInt', { n: 1n }, {}, /payload\.n: cannot be written as JSON: it is a BigInt/],
  ['NUL', { text: 'a\0b' }, {}, /payload\.text: contains NUL/],
  ['half of a surrogate pair', { text: '\ud800' }, {}, /payload\.text: contains NUL or half/],
  ['17 MB', { text: 'x'.repeat(17_000_000) }, {}, /payload: has 17000011 bytes as JSON, more than the 16777216/],
  ['a list for a payload', [], {}, /payload: must be an object/],
  ['a negative delay', {}, { delayMs: -1 }, /options\.delayMs: must be at least 0/],
  ['a delay of years', {}, { delayMs: 1e12 }, /options\.delayMs: must be at most 31622400000/],
  ['priority 0', {}, { priority: 0 }, /options\.priority: must be at least 1/],
  ['priority 10', {}, { priority: 10 }, /options\.priority: must be at most 9/],
  ['half a priority', {}, { priority: 1.5 }, /options\.priority: must be a whole number/],
  ['a time that is none', {}, { runAt: 'soon' }, /options\.runAt: must be a time, or must be a time in ISO 8601/],
  ['a tenant that is too long', { workspaceId: 'x'.repeat(201) }, {}, /payload\.workspaceId: is the tenant of the job/],
  ['an unknown option', {}, { delay: 5 }, /options\.delay: is not a known field/],
  ['no attempts', {}, { attempts: 0 }, /options\.attempts: must be at least 1/],
  ['a tag that is empty', {}, { tags: [''] }, /options\.tags\[0\]: must not be empty/],
  ['a parent that is no id', {}, { parent: 'me' }, /options\.parent: must be a UUID/],
  ['debounceMs without a key', {}, { debounceMs: 5 }, /options\.debounceMs: needs options\.deduplicationKey/],
  ['throttleMs without a key', {}, { throttleMs: 5 }, /options\.throttleMs: needs options\.deduplicationKey/],
  ['a negative throttleMs', {}, { throttleMs: -5, deduplicationKey: 'k' }, /options\.throttleMs: must be at least 0/],
  [
    'debounceMs beside throttleMs',
    {},
    { debounceMs: 5, throttleMs: 5, deduplicationKey: 'k' },
    /options\.throttleMs: cannot be given beside debounceMs/,
  ],
  [
    'debounceMs beside delayMs',
    {},
    { debounceMs: 5, delayMs: 5, deduplicationKey: 'k' },
    /options\.debounceMs: cannot be given beside delayMs/,
  ],
  [
    'a longest wait below debounceMs',
    {},
    { debounceMs: 5, debounceMaxMs: 4, deduplicationKey: 'k' },
    /options\.debounceMaxMs: must be at least debounceMs/,
  ],
])('%s is refused by its path, and nothing is written', async ([, payload, options, message]) => {
  const ask = treadle.platform.enqueuer.enqueueByName({ name: 'bad.loose', payload, options });
  await expect(ask).rejects.toMatchObject({ code: 'VALIDATION_ERROR', message: expect.stringMatching(message) });
  expect(await database.query('SELECT id FROM treadle.all_jobs')).toEqual([]);
  expect(await database.query('SELECT key FROM treadle.throttles')).toEqual([]);
});

test('every fault of a payload is a sentence', async () => {
  const payload = { id: '7', amount: 11, kind: 'gold', names: ['long', 2], extra: true };
  await expect(treadle.platform.enqueuer.enqueueByName({ name: 'bad.strict', payload })).rejects.toMatchObject({
    details: {
      faults: expect.arrayContaining([
        { path: 'payload.id', message: 'must be a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057' },
        { path: 'payload.amount', message: 'must be at most 10' },
        { path: 'payload.kind', message: 'must be card or cash' },
        { path: 'payload.names[0]', message: 'must have at most 3 characters' },
        { path: 'payload.names[1]', message: 'must be text' },
        { path: 'payload.extra', message: 'is not a known field' },
      ]),
    },
  });
  await expect(treadle.platform.enqueuer.enqueueByName({ name: 'bad.strict', payload: {} })).rejects.toThrow(
    'payload.id: is missing; payload.amount: is missing; payload.kind: is missing; payload.names: is missing',
  );
});

test.for<[string, object, unknown, object, RegExp]>([
  ['17 MB', { text: 'x'.repeat(17_000_000) }, {}, {}, /has 170000\d\d bytes as JSON, more than the 16777216/],
  [
    'a negative debounceMs',
    {},
    { debounceMs: -1, deduplicationKey: 'k' },
    {},
    /debounceMs must be a whole number from 0/,
  ],
  ['throttleMs without a key', {}, { throttleMs: 5 }, {}, /need a deduplicationKey, or deduplicateBy in bad\.loose/],
  ['debounceMs beside delayMs', {}, { debounceMs: 1, delayMs: 1 }, {}, /give one of delayMs, runAt, debounceMs/],
  ['a lone debounceMaxMs', {}, { debounceMaxMs: 1 }, {}, /debounceMaxMs must be at least debounceMs/],
])('SQL is refused %s', async ([, payload, options, , message]) => {
  const ask = database.query('SELECT treadle.enqueue($1, $2, $3)', [
    'bad.loose',
    JSON.stringify(payload),
    JSON.stringify(options),
  ]);
  await expect(ask).rejects.toThrow(message);
});

test.for<[string, object, RegExp]>([
  ['a debounce without a key', { debounceMs: 5 }, /debounceMs: needs deduplicateBy/],
  ['a throttle beside a debounce', { debounceMs: 5, throttleMs: 5, deduplicateBy: ['id'] }, /cannot be given beside/],
  [
    'a longest wait below the debounce',
    { debounceMs: 5, debounceMaxMs: 1, deduplicateBy: ['id'] },
    /at least debounce/,
  ],
  [
    'a throttle around the ledger',
    { throttleMs: 5, deduplicateBy: ['id'], durability: 'queue' },
    /durability is queue/,
  ],
  ['a path that is not in the schema', { redact: ['card.nmuber'] }, /redact: card\.nmuber is not in the schema/],
  ['a key that is encrypted', { encrypt: ['card'], deduplicateBy: ['card.number'] }, /encrypt: card cannot be hidden/],
  ['a key that is redacted', { redact: ['id'], deduplicateBy: ['id'] }, /redact: id cannot be hidden: id is in/],
  ['a tenant that is encrypted', { encrypt: ['workspaceId'] }, /workspaceId is the tenant of the job/],
  [
    'a path in another',
    { encrypt: ['card', 'card.number'] },
    /encrypt: card\.number is named twice, or lies in another/,
  ],
])('a contract is refused %s', ([, definition, message]) => {
  const payload = z.object({ id: z.string(), workspaceId: z.string(), card: z.object({ number: z.string() }) });
  expect(() => defineJob({ name: 'bad.contract', payload, ...definition })).toThrow(message);
});
