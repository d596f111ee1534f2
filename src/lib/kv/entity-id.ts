import { z } from 'zod';
import { isStorable } from '../text/storable.ts';

/** The name of something that an app names as it likes: a user, a document, a resource. Taken as it is, to the letter. */
export const entityId = (maxLength = 200) =>
  z
    .string({ error: 'must be text' })
    .min(1, 'must not be empty')
    .max(maxLength, `must have at most ${maxLength} characters`)
    .refine(isStorable, 'contains NUL or half of a surrogate pair');
