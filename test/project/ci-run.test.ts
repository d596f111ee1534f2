import { expect, it } from 'vitest';
import config from '../../vitest.config.ts';
import { readProjectFile } from './read-project-file.ts';

it('.ci/run tests with every reporter of the configuration', async () => {
  const script = await readProjectFile('.ci/run');
  const reporters = [config.test?.reporters ?? []].flat(2);
  expect(reporters.length).toBeGreaterThan(0);
  expect(reporters.filter((name) => typeof name !== 'string' || !script.includes(`--reporter=${name}`))).toEqual([]);
});

it('.ci/run runs what the documents tell people to run', async () => {
  const script = await readProjectFile('.ci/run');
  for (const command of ['npm ci', 'npm test', 'npm run check', 'npm start -- --once']) {
    expect(script).toContain(command);
  }
});
