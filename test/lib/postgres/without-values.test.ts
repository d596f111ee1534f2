import { expect, test } from 'vitest';
import { withoutValues } from '../../../src/lib/postgres/without-values.ts';

test.each([
  [`SELECT 'it''s' FROM a1 WHERE b = -12.5e3 AND c = $1`, 'SELECT ? FROM a1 WHERE b = ? AND c = $1'],
  [`SELECT E'a\\'b', 1`, 'SELECT ?, ?'],
  [`DO $body$ SELECT 'x' $body$`, 'DO ?'],
  ['SELECT $$text$$', 'SELECT ?'],
  [`SELECT 1 -- 'secret'\n  , /* 'secret' */ 2`, 'SELECT ? , ?'],
])('%s is shown as %s', (statement, shown) => {
  expect(withoutValues(statement)).toBe(shown);
});

test('a long statement is cut', () => {
  expect(withoutValues(`SELECT ${'x, '.repeat(1_000)}`)).toHaveLength(501);
});
