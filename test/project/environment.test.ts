import { expect, it } from 'vitest';
import { loadConfig, variableNames } from '../../src/lib/config/load-config.ts';
import { readProjectFile } from './read-project-file.ts';

const assignment = /^#?([A-Z][A-Z_]*)=(.*)$/;
const given = new Map(
  (await readProjectFile('.env.example')).split('\n').flatMap((line): [string, string][] => {
    const [, name, value] = assignment.exec(line) ?? [];
    return name === undefined || value === undefined ? [] : [[name, value]];
  }),
);

it('.env.example names every variable that the configuration reads, and no other', () => {
  expect([...given.keys()].toSorted()).toEqual([...variableNames].toSorted());
});

it('.env.example shows the defaults', () => {
  expect(loadConfig(Object.fromEntries(given))).toEqual(loadConfig({}));
});

it('.env.example changes nothing when it is copied as it is', async () => {
  const active = (await readProjectFile('.env.example')).split('\n').filter((line) => /^[^#\s]/.test(line));
  expect(active).toEqual([]);
});

it('the configuration page has a row for every variable, with its default', async () => {
  const rows = (await readProjectFile('docs/configuration.md')).split('\n').flatMap((line): [string, string][] => {
    const [, name, value] = /^\| `([A-Z_]+)` \| (?:`([^`]*)`)? ?\|/.exec(line) ?? [];
    return name === undefined ? [] : [[name, value ?? '']];
  });
  expect(new Map(rows)).toEqual(given);
});
