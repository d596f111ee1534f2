import type { FastifyError } from 'fastify';
import { AppError, validationError } from '../../lib/errors/app-error.ts';
import { toAppError } from '../../lib/errors/classify.ts';

const badJson = (message: string): AppError => validationError('the body', [{ path: '', message }]);

/** What Fastify itself refuses, by its code. */
const byCode = (error: FastifyError, maxBytes: number): AppError | undefined => {
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new AppError('PAYLOAD_TOO_LARGE', `the body is larger than ${maxBytes} bytes`, { maxBytes });
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
    case 'FST_ERR_CTP_INVALID_TYPE':
      return new AppError('UNSUPPORTED_MEDIA_TYPE', 'bodies are application/json', {});
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return badJson('is empty');
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
      return badJson('is not well-formed JSON');
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return badJson('has another length than Content-Length says');
    case 'FST_ERR_BAD_URL':
      return validationError('the address', [{ path: '', message: 'is not a well-formed URL' }]);
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return validationError('the address', [{ path: '', message: 'has a part that is too long' }]);
    default:
      return undefined;
  }
};

const isFastifyError = (error: unknown): error is FastifyError =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('FST_');

/** Puts whatever was thrown while a request was handled into the catalogue. */
export const requestFault = (error: unknown, maxBytes: number): AppError => {
  if (error instanceof AppError) return error;
  const known = isFastifyError(error) ? byCode(error, maxBytes) : undefined;
  return known ?? toAppError(error);
};
