import { readFile } from 'node:fs/promises';

/** The text of a file of this project, named from its root. */
export const readProjectFile = (name: string): Promise<string> =>
  readFile(new URL(`../../${name}`, import.meta.url), 'utf8');

export const readProjectJson = async (name: string): Promise<unknown> => JSON.parse(await readProjectFile(name));
