import { z } from 'zod';
import { isStorable, lineOfText } from '../../lib/text/storable.ts';
import { userStatuses } from './types.ts';

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

const status = z.enum(userStatuses, { error: `must be ${userStatuses.join(' or ')}` });

/** Fields that are not given stay. */
export const updateUserInput = z.strictObject({ name: lineOfText(200).optional(), status: status.optional() });
export type UpdateUserInput = z.input<typeof updateUserInput>;

export const userFilter = z.strictObject({ status: status.optional() });
export type UserFilter = z.input<typeof userFilter>;

const permission = z
  .string({ error: 'must be text' })
  .max(100, 'must have at most 100 characters')
  .regex(/^(\*|[a-z][a-z-]*:[a-z][a-z-]*)$/, 'must be * or such as knowledge:read');
const permissions = z
  .array(permission, { error: 'must be a list of permissions' })
  .max(100, 'must have at most 100 entries')
  .transform((given) => [...new Set(given)]);

export const createRoleInput = z.strictObject({ name: lineOfText(100), permissions: permissions.default([]) });
export type CreateRoleInput = z.input<typeof createRoleInput>;

/** Fields that are not given stay; `permissions` replace those there are. */
export const updateRoleInput = z.strictObject({
  name: lineOfText(100).optional(),
  permissions: permissions.optional(),
});
export type UpdateRoleInput = z.input<typeof updateRoleInput>;
