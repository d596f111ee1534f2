import { editDistance } from '../text/edit-distance.ts';
import { variableNames } from './load-config.ts';

/** A variable that nobody reads, and what may have been meant. */
export interface UnknownVariable {
  readonly name: string;
  readonly meant: string | undefined;
}

const ownPrefix = 'TREADLE_';
const mistakes = 2;

const meantBy = (name: string): string | undefined => {
  const [nearest] = variableNames
    .map((known) => ({ known, distance: editDistance(name, known) }))
    .toSorted((a, b) => a.distance - b.distance);
  return nearest && nearest.distance <= mistakes ? nearest.known : undefined;
};

/** Variables of `env` that look like Treadle's and are none: by their prefix, or one or two letters off a known name. */
export const unknownVariables = (env: Readonly<Record<string, string | undefined>>): readonly UnknownVariable[] =>
  Object.keys(env)
    .filter((name) => !variableNames.includes(name))
    .map((name) => ({ name, meant: meantBy(name) }))
    .filter(({ name, meant }) => meant !== undefined || name.startsWith(ownPrefix))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
