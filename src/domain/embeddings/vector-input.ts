import { z } from 'zod';
import { storableObject, storableText } from '../../lib/text/storable.ts';

const mostDimensions = 16_000;
const metadataBytes = 65_536;

/** Of a vector: what the app calls it. */
export const vectorId = storableText(300).min(1, 'must not be empty');

const hasDirection = (vector: readonly number[]): boolean => vector.some((value) => value !== 0);

/** Finite numbers that point somewhere. Their length is of no account: what is compared is the direction. */
export const vector = z
  .array(z.number({ error: 'must be a finite number' }), { error: 'must be a list of numbers' })
  .min(1, 'must have a number')
  .max(mostDimensions, `must have at most ${mostDimensions} numbers`)
  .refine(hasDirection, {
    message: 'has no direction: all its numbers are zero',
    when: ({ issues }) => issues.length === 0,
  });

/** Whose vectors, and which of theirs. */
export const vectorScope = z.strictObject({
  workspaceId: z.guid({ error: 'must be an id' }).toLowerCase(),
  namespace: z
    .string({ error: 'must be text' })
    .regex(/^[a-z0-9][\w.-]{0,99}$/i, 'must be up to 100 letters, digits, dots, dashes and underscores'),
});
export type VectorScope = z.input<typeof vectorScope>;

export const vectorInput = z.strictObject({
  id: vectorId,
  // A typed array is refused first: readonly() would freeze it, which throws.
  vector: z.custom<readonly number[]>(Array.isArray, 'must be a list of numbers').pipe(vector.readonly()),
  metadata: storableObject(metadataBytes).nullable().default(null),
});
export type VectorInput = z.input<typeof vectorInput>;

export const vectorLimit = z
  .int({ error: 'must be a whole number from 1 to 1000' })
  .min(1, 'must be a whole number from 1 to 1000')
  .max(1_000, 'must be a whole number from 1 to 1000');

/** The same direction at length 1, whichever the size of its numbers. */
export const directionOf = (numbers: readonly number[]): Float32Array => {
  let largest = 0;
  for (const value of numbers) largest = Math.max(largest, Math.abs(value));
  const scaled = Float64Array.from(numbers, (value) => value / largest);
  let squares = 0;
  for (const value of scaled) squares += value * value;
  const norm = Math.sqrt(squares);
  return Float32Array.from(scaled, (value) => value / norm);
};
