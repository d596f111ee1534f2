import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { eventBody } from '../../domain/events/domain-event.ts';
import { enqueueOptionsSchema } from '../../queues/enqueue/enqueue-options.ts';
import { batchBody, publishBody } from '../schemas/event.ts';
import { looseEnqueueOptions } from '../schemas/job.ts';

type Override = NonNullable<NonNullable<Parameters<typeof z.toJSONSchema>[1]>['override']>;

const dateAsText = { type: 'string', format: 'date-time' } as const;

const isDate = (schema: z.core.$ZodType): boolean => schema instanceof z.ZodDate;

const jsonOf = (schema: z.core.$ZodType, override?: Override): object => {
  const { $schema: _, ...json } = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    ...(override && { override }),
  });
  return json;
};

/** Options of an enqueue as a client writes them: times are texts. */
const enqueueOptionsJson = (): object =>
  jsonOf(enqueueOptionsSchema, ({ zodSchema, jsonSchema }) => {
    if (isDate(zodSchema)) Object.assign(jsonSchema, dateAsText);
    if (zodSchema instanceof z.ZodUnion) jsonSchema.anyOf = jsonSchema.anyOf?.slice(1) ?? [];
  });

/** What routes take loosely, since their services check it, is shown as the services take it. */
const createOverride = (): Override => {
  const shown = new Map<z.core.$ZodType, object>([
    [looseEnqueueOptions, enqueueOptionsJson()],
    [publishBody, { anyOf: [jsonOf(eventBody), jsonOf(batchBody)] }],
  ]);
  return ({ zodSchema, jsonSchema }) => {
    if (isDate(zodSchema)) Object.assign(jsonSchema, dateAsText);
    const json = shown.get(zodSchema);
    if (!json) return;
    for (const name of Object.keys(jsonSchema)) Reflect.deleteProperty(jsonSchema, name);
    Object.assign(jsonSchema, json);
  };
};

/** How the routes' zod schemas become the OpenAPI document; those with an `id` have names of their own in it. */
export const createOpenApiTransform = (): Pick<FastifyDynamicSwaggerOptions, 'transform' | 'transformObject'> => {
  const options = { zodToJsonConfig: { override: createOverride() } };
  return {
    transform: createJsonSchemaTransform(options),
    transformObject: createJsonSchemaTransformObject(options),
  };
};
