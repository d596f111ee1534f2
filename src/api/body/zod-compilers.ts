import type { FastifyInstance } from 'fastify';
import { serializerCompiler } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { validationError, type Fault } from '../../lib/errors/app-error.ts';
import { faultsOf } from '../../lib/errors/zod-faults.ts';
import { textFaults } from './text-faults.ts';

const subjects: Readonly<Record<string, string>> = {
  body: 'the body',
  querystring: 'the query',
  params: 'the address',
  headers: 'the headers',
};

/** An unknown field is a fault of that field: zod reports all of them as one fault of the object they are in. */
const namingUnknownFields = (error: z.ZodError): readonly Fault[] =>
  error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.flatMap((key) =>
          faultsOf(new z.ZodError([{ ...issue, path: [...issue.path, key], message: 'is not a known field' }])),
        )
      : faultsOf(new z.ZodError([issue])),
  );

/** Requests and answers are checked by the routes' zod schemas; a request that does not fit names every fault. */
export const useZodSchemas = (app: FastifyInstance): void => {
  app.setValidatorCompiler<z.ZodType>(({ schema, httpPart }) => (input: unknown) => {
    const subject = subjects[httpPart ?? 'body'] ?? 'the request';
    if (httpPart === 'params' || httpPart === 'querystring') {
      const faults = textFaults(input);
      if (faults.length > 0) return { error: validationError(subject, faults) };
    }
    const parsed = schema.safeParse(input);
    if (parsed.success) return { value: parsed.data };
    return { error: validationError(subject, namingUnknownFields(parsed.error)) };
  });
  app.setSerializerCompiler(serializerCompiler);
};
