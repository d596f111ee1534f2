import { z } from 'zod';
import { activityRule, documentIdRule, socketIdRule, userIdRule } from '../../domain/presence/service.ts';
import { pageOf } from './page.ts';

export const documentParams = z.object({
  documentId: documentIdRule.describe('The id of a document, as the app has it'),
});
export const userParams = z.object({ userId: userIdRule.describe('The id of a user, as the app has it') });
export const placeParams = documentParams.extend(userParams.shape);

export const connectionBody = z.strictObject({
  socketId: socketIdRule.describe('Names one of the connections of the user, such as a tab'),
  activity: activityRule
    .optional()
    .describe('What the user does there: JSON of up to 2 KiB. Left out it stays as it was'),
});

const connection = z
  .object({
    socketId: z.string(),
    joinedAt: z.date(),
    lastSeen: z.date().describe('Of its last heartbeat'),
    activity: z.unknown(),
  })
  .meta({ id: 'PresenceConnection' });

const presenceUser = connection
  .extend({ userId: z.string(), connections: z.array(connection).readonly() })
  .meta({ id: 'PresenceUser', description: 'socketId, lastSeen and activity are those of the connection seen last' });

const sequence = z.number().describe("Of the document's last event; 0 when there was none");

export const presenceUsers = pageOf(presenceUser).extend({ sequence });

export const joined = z.object({
  joined: z.boolean().describe('False when the user was there already'),
  sequence,
  heartbeatWithinMs: z.number().describe('The connection is gone when nothing is heard of it for so long'),
});

export const userDocument = z.object({ documentId: z.string(), joinedAt: z.date(), lastSeen: z.date() });

export const presenceEvent = z.object({
  sequence: z.number(),
  userId: z.string(),
  socketId: z.string(),
  reason: z.enum(['removed', 'expired']).nullable(),
  at: z.date(),
});

export const presenceSnapshot = z.object({
  reason: z.enum(['start', 'missed']),
  sequence,
  users: z.array(presenceUser).readonly(),
  complete: z.boolean(),
});
