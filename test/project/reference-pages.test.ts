import { expect, it } from 'vitest';
import { catalogue } from '../../src/lib/errors/catalogue.ts';
import { readProjectFile } from './read-project-file.ts';

const cellsOf = (line: string): readonly string[] => line.split('|').slice(1, -1);
const codesIn = (cell = ''): readonly string[] => [...cell.matchAll(/`([^`]+)`/g)].flatMap((match) => match[1] ?? []);

it('the page of errors has a row for every code of the catalogue, with its status, retryability and details', async () => {
  const rows = (await readProjectFile('docs/errors.md'))
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map(cellsOf)
    .map(([code, status, retryable, details]) => ({
      code: codesIn(code)[0],
      status: Number(status),
      retryable: retryable?.trim() === 'yes',
      details: codesIn(details).filter((name) => !['path', 'message', 'index', 'variable'].includes(name)),
    }));
  const expected = Object.entries(catalogue).map(([code, { status, retryable, details }]) => ({
    code,
    status,
    retryable,
    details: Object.keys(details.shape),
  }));
  expect(rows.toSorted((a, b) => (a.code ?? '').localeCompare(b.code ?? ''))).toEqual(
    expected.toSorted((a, b) => a.code.localeCompare(b.code)),
  );
});

it('the page of tables names every table and view of the schema, and no other', async () => {
  const generated = await readProjectFile('src/lib/postgres/schema.generated.ts');
  const tables = [...(/export interface DB \{([^}]*)\}/.exec(generated)?.[1] ?? '').matchAll(/^ {2}(\w+):/gm)].flatMap(
    (match) => match[1] ?? [],
  );
  const named = (await readProjectFile('docs/schema.md'))
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap((line) => codesIn(cellsOf(line)[0]))
    .map((name) => name.replace(/^treadle\./, ''));
  expect(tables.length).toBeGreaterThan(0);
  expect(named.toSorted()).toEqual(tables.toSorted());
});
