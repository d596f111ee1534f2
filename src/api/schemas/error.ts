import { z } from 'zod';

/** What every error is answered as. */
export const errorAnswer = z
  .object({
    error: z.object({
      code: z.string().describe('One of the codes in docs/errors.md'),
      message: z.string(),
      details: z.record(z.string(), z.unknown()).describe('Each code has its own fields'),
      requestId: z.string(),
    }),
  })
  .meta({ id: 'Error' });
