import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { enqueueOptionsSchema } from '../../queues/enqueue/enqueue-options.ts';
import { looseEnqueueOptions } from '../schemas/job.ts';

type Override = NonNullable<NonNullable<Parameters<typeof z.toJSONSchema>[1]>['override']>;

const dateAsText = { type: 'string', format: 'date-time' } as const;

const isDate = (schema: z.core.$ZodType): boolean => schema instanceof z.ZodDate;

/** Options of an enqueue as a client writes them: times are texts. */
const enqueueOptionsJson = (): object => {
  const { $schema: _, ...json } = z.toJSONSchema(enqueueOptionsSchema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      if (isDate(zodSchema)) Object.assign(jsonSchema, dateAsText);
      if (zodSchema instanceof z.ZodUnion) jsonSchema.anyOf = jsonSchema.anyOf?.slice(1) ?? [];
    },
  });
  return json;
};

const createOverride = (): Override => {
  const options = enqueueOptionsJson();
  return ({ zodSchema, jsonSchema }) => {
    if (isDate(zodSchema)) Object.assign(jsonSchema, dateAsText);
    if (zodSchema === looseEnqueueOptions) Object.assign(jsonSchema, options);
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
