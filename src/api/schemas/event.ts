import { z } from 'zod';
import { eventBody } from '../../domain/events/domain-event.ts';
import { eventPatterns } from '../../domain/events/event-type.ts';
import { positionFromText } from '../../domain/events/position.ts';

export const event = z
  .object({
    id: z.string(),
    type: z.string(),
    occurredOn: z.date(),
    aggregateId: z.string().describe('What it happened to'),
    version: z.number().nullable().describe('Of the aggregate, after it'),
    data: z.record(z.string(), z.unknown()),
    workspaceId: z.string().nullable(),
    actor: z.string().nullable().describe('Who did it'),
  })
  .meta({ id: 'Event' });

export const publishedEvents = z.object({ events: z.array(event).readonly() });

/** One event or a batch: which of them decides which rules hold. The OpenAPI page shows both. */
export const publishBody = z.looseObject({ events: z.array(z.looseObject({})).optional() });
export const batchBody = z.strictObject({
  events: z.array(eventBody).min(1, 'must not be empty').max(1_000, 'must have at most 1,000 elements'),
});

/** `type` of a query: types and patterns, with commas between them. */
export const typeList = z
  .string()
  .max(4_000)
  .transform((text): readonly string[] => text.split(',').map((type) => type.trim()))
  .pipe(eventPatterns);

export const streamPosition = positionFromText;

export const consumerStatus = z
  .object({
    name: z.string(),
    types: z.array(z.string()).readonly(),
    holder: z.string().nullable().describe('The process that runs it'),
    lag: z.number().describe('Events that it has yet to handle, counted up to 10,000 events of all types'),
    lagSeconds: z.number().describe('Age of the oldest of them'),
    attempts: z.number().describe('Failures of the event that comes next'),
    error: z.object({ code: z.string(), message: z.string() }).nullable().describe('The last of these failures'),
    nextAttemptAt: z.date().nullable(),
    deadLetters: z.number(),
    missed: z.number().describe('Events that retention took away before they were handled'),
    missedAt: z.date().nullable(),
    createdAt: z.date(),
    updatedAt: z.date(),
  })
  .meta({ id: 'EventConsumer' });

export const eventDeadLetter = z
  .object({
    event: event.extend({ occurredOn: z.string() }),
    attempts: z.number(),
    error: z.object({ code: z.string(), message: z.string() }),
    failedAt: z.date(),
    redrive: z.boolean().describe('It is about to be handled once more'),
  })
  .meta({ id: 'EventDeadLetter' });
