import { z } from 'zod';
import { AppError } from '../lib/errors/app-error.ts';
import { catalogue, type ErrorCode } from '../lib/errors/catalogue.ts';

const answer = z.object({
  error: z.object({ code: z.string(), message: z.string(), details: z.record(z.string(), z.unknown()).default({}) }),
});

const isCode = (code: string): code is ErrorCode => Object.hasOwn(catalogue, code);

/** The error that the API answered, as it was thrown there; of anything else that answers, an EXTERNAL_SERVICE_ERROR. */
export const errorOfAnswer = (status: number, body: unknown, endpoint: string): AppError => {
  const parsed = answer.safeParse(body);
  if (parsed.success) {
    const { code, message, details } = parsed.data.error;
    const known = isCode(code) ? catalogue[code].details.safeParse(details) : undefined;
    if (isCode(code) && known?.success) return new AppError(code, message, known.data);
  }
  const details = { service: 'treadle', endpoint, status };
  return new AppError('EXTERNAL_SERVICE_ERROR', `Treadle answered ${status} at ${endpoint}`, details);
};
