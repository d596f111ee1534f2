import { z } from 'zod';
import { isStorable, lineOfText } from '../../lib/text/storable.ts';

const nameAndAddress = /^(.*?)\s*<([^<>\s@]+@[^<>\s@]+)>\s*(?:\(.*\))?$/;
const addressAlone = /^[^<>\s@]+@[^<>\s@]+$/;

const email = z
  .string({ error: 'must be text' })
  .trim()
  .max(320, 'must have at most 320 characters')
  .regex(/^[^@\s]+@[^@\s]+$/, 'must be an email address')
  .refine((text) => isStorable(text) && !/\p{Cc}/u.test(text), 'contains NUL or half of a surrogate pair');

const personFields = z.strictObject({ name: lineOfText(200), email: email.optional() });

const readPerson = (text: unknown): unknown => {
  if (typeof text !== 'string') return text;
  const [, name, address] = nameAndAddress.exec(text.trim()) ?? [];
  if (address !== undefined) return { name: name || address, email: address };
  return addressAlone.test(text.trim()) ? { name: text, email: text } : { name: text };
};

/** `{ name, email? }`, or one text as `package.json` has them: `Name`, `Name <email>` or `Name <email> (url)`. */
export const person = z.preprocess(readPerson, personFields);
export type PersonInput = string | { readonly name: string; readonly email?: string | undefined };

export const createUserInput = z.strictObject({ email, name: lineOfText(200).optional() });
export type CreateUserInput = z.input<typeof createUserInput>;
