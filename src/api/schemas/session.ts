import { z } from 'zod';
import { sessionInput } from '../../domain/sessions/service.ts';

export const sessionUserId = z.string().min(1).max(200).describe('The id of a user, as the app has it');
export const sessionId = z.string().min(1).max(200).describe('The id that was answered when the session began');
export const sessionHandle = z
  .string()
  .regex(/^[\w-]{43}$/, 'must be a handle of a session')
  .describe('The handle of a session, from the list of its user');

export const session = z
  .object({
    userId: z.string(),
    data: z.record(z.string(), z.unknown()),
    createdAt: z.date(),
    lastAccessedAt: z.date().describe('Written once a minute at most'),
    expiresAt: z.date().describe('When it ends unless it is used before'),
  })
  .meta({ id: 'Session' });

export const listedSession = session
  .extend({ handle: z.string().describe('Names the session and opens nothing') })
  .meta({ id: 'ListedSession' });

export const createdSession = listedSession
  .extend({ id: z.string().describe('The secret by which the session is found. It is given out once, here') })
  .meta({ id: 'CreatedSession' });

export const sessionBody = z.strictObject({
  userId: sessionInput.shape.userId,
  data: sessionInput.shape.data.default({}).describe('What to keep with it: a JSON object of up to 16 KiB'),
});
