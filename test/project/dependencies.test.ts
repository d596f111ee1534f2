import { expect, it } from 'vitest';
import { z } from 'zod';
import { readProjectFile, readProjectJson } from './read-project-file.ts';

const names = z.record(z.string(), z.string()).transform((dependencies) => Object.keys(dependencies));
const manifest = z.object({ dependencies: names, devDependencies: names });

it('every dependency has a line that says why it is there, and no line outlives its dependency', async () => {
  const { dependencies, devDependencies } = manifest.parse(await readProjectJson('package.json'));
  const text = await readProjectFile('docs/decisions/0003-dependencies.md');
  const listed = text
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].flatMap((match) => match[1] ?? []));
  expect(listed.toSorted()).toEqual([...dependencies, ...devDependencies].toSorted());
});
