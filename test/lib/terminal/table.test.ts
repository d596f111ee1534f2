import { expect, it } from 'vitest';
import { table, type Column } from '../../../src/lib/terminal/table.ts';

interface Row {
  readonly id: string;
  readonly error: string;
}

const columns: readonly Column<Row>[] = [
  { title: 'id', value: (row) => row.id },
  { title: 'error', value: (row) => row.error, maxWidth: 60 },
];
const rows = [{ id: '0123456789', error: 'the server did not answer within a minute' }];

it('is as wide as its values where there is room', () => {
  expect(table(rows, columns, 'none', 80)).toBe(
    'ID          ERROR\n0123456789  the server did not answer within a minute',
  );
});

it('cuts long values to the width of the terminal', () => {
  expect(table(rows, columns, 'none', 30)).toBe('ID          ERROR\n0123456789  the server did no…');
});

it('makes a paragraph of each row where even that does not fit', () => {
  expect(table(rows, columns, 'none', 20)).toBe('id     0123456789\nerror  the server did not answer within a minute');
});
