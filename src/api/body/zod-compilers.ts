import type { FastifyInstance } from 'fastify';
import { serializerCompiler } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import { validationError } from '../../lib/errors/app-error.ts';
import { faultsOf, safeParse } from '../../lib/errors/zod-faults.ts';
import { textFaults } from './text-faults.ts';

const subjects: Readonly<Record<string, string>> = {
  body: 'the body',
  querystring: 'the query',
  params: 'the address',
  headers: 'the headers',
};

/** Requests and answers are checked by the routes' zod schemas; a request that does not fit names every fault. */
export const useZodSchemas = (app: FastifyInstance): void => {
  app.setValidatorCompiler<z.ZodType>(({ schema, httpPart }) => (input: unknown) => {
    const subject = subjects[httpPart ?? 'body'] ?? 'the request';
    if (httpPart === 'params' || httpPart === 'querystring') {
      const faults = textFaults(input);
      if (faults.length > 0) return { error: validationError(subject, faults) };
    }
    const parsed = safeParse(schema, input);
    if (parsed.success) return { value: parsed.data };
    return { error: validationError(subject, faultsOf(parsed.error)) };
  });
  app.setSerializerCompiler(serializerCompiler);
};
