import { array, assert, asyncProperty, option, string, tuple } from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { copyRow } from '../../../src/lib/postgres/copy-row.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase({ schema: 'empty' });
beforeAll(async () => {
  await database.query('CREATE TABLE copied (place integer, one text, many text[])');
});

const copy = 'COPY copied FROM STDIN';

test('whatever a text holds is copied as it is, alone, in an array, and where there is none', async () => {
  const text = string({ unit: 'binary' })
    .filter((given) => given.isWellFormed() && !given.includes('\0'))
    .map((given) => given.replaceAll('n', '\\.\n\t\r"{},\\N'));
  const rows = array(tuple(option(text), option(array(text, { maxLength: 4 }))), { maxLength: 20 });
  await assert(
    asyncProperty(rows, async (given) => {
      await database.query('TRUNCATE copied');
      await database.postgres.transaction((tx) =>
        tx.copyIn(
          copy,
          given.map(([one, many], place) => copyRow([String(place), one, many])),
        ),
      );
      const stored = await database.query<{ one: string; many: string[] }>('SELECT * FROM copied ORDER BY place');
      expect(stored.map(({ one, many }) => [one, many])).toEqual(given);
    }),
    { numRuns: 60 },
  );
});

test('rows that end with an error, or that the server refuses, end the copy; a nested transaction can go on', async () => {
  await database.query('TRUNCATE copied');
  function* breaking(): Generator<string> {
    for (let n = 0; n < 100_000; n += 1) yield copyRow([String(n), 'x', []]);
    throw new Error('the rows ended');
  }
  await database.postgres.transaction(async (tx) => {
    await tx.copyIn(copy, [copyRow(['1', 'kept', null])]);
    await expect(tx.nested((inner) => inner.copyIn(copy, breaking()))).rejects.toThrow(/the rows ended/);
    await expect(tx.nested((inner) => inner.copyIn(copy, [copyRow(['no number', 'x', null])]))).rejects.toMatchObject({
      code: '22P02',
    });
    await tx.nested((inner) => inner.copyIn(copy, [copyRow(['2', 'kept', null])]));
  });
  expect(await database.query('SELECT place FROM copied ORDER BY place')).toEqual([{ place: 1 }, { place: 2 }]);
});

test('rows are made no faster than the server takes them', async () => {
  await database.query('TRUNCATE copied');
  const holder = await database.postgres.connectDirect('holder');
  await holder.query('BEGIN; LOCK TABLE copied IN ACCESS EXCLUSIVE MODE');
  let made = 0;
  function* counted(): Generator<string> {
    for (; made < 20_000; made += 1) yield copyRow([String(made), 'x'.repeat(10_000), null]);
  }
  const copying = database.postgres.transaction((tx) => tx.copyIn(copy, counted()));
  await expect
    .poll(() =>
      database.query(`SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query = $1`, [copy]),
    )
    .toHaveLength(1);
  expect(made).toBeLessThan(2_000);
  await holder.query('COMMIT');
  await holder.end();
  await copying;
  expect(made).toBe(20_000);
});
