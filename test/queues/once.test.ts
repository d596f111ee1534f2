import { expect, test } from 'vitest';
import { once } from '../../src/queues/once.ts';
import { useDatabase } from '../services/database.ts';

const database = useDatabase();

const gone = new Error('the effect failed');

test('of twenty transactions at once with one key, exactly one is first', async () => {
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => database.postgres.transaction((tx) => once(tx, 'twenty'))),
  );
  expect(answers.filter(Boolean)).toHaveLength(1);
});

test('a key is free again when its transaction rolls back, and whoever waited for it gets it', async () => {
  const held = Promise.withResolvers<void>();
  const fail = Promise.withResolvers<void>();
  const first = database.postgres.transaction(async (tx) => {
    expect(await once(tx, 'rollback')).toBe(true);
    held.resolve();
    await fail.promise;
    throw gone;
  });
  await held.promise;
  const others = Array.from({ length: 5 }, () => database.postgres.transaction((tx) => once(tx, 'rollback')));
  fail.resolve();
  await expect(first).rejects.toBe(gone);
  expect((await Promise.all(others)).filter(Boolean)).toHaveLength(1);
  expect(await once(database.postgres, 'rollback')).toBe(false);
});

test('a serializable transaction that loses is run again and told that it was not first', async () => {
  const answers = await Promise.all(
    Array.from({ length: 3 }, () =>
      database.postgres.transaction(
        async (tx) => {
          await tx.query('SELECT count(*) FROM treadle.once_keys');
          return once(tx, 'serializable');
        },
        { isolation: 'serializable', maxRetries: 10 },
      ),
    ),
  );
  expect(answers.filter(Boolean)).toHaveLength(1);
});

test('different keys do not wait for each other', async () => {
  await database.postgres.transaction(async (tx) => {
    expect(await once(tx, 'one')).toBe(true);
    expect(await once(database.postgres, 'other')).toBe(true);
  });
});

test.for([
  ['empty', ''],
  ['too long', 'x'.repeat(1_001)],
  ['with NUL', 'a\0b'],
  ['with half of a surrogate pair', 'a\uD800'],
])('a key that is %s is refused', async ([, key = '']) => {
  await expect(once(database.postgres, key)).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
});
