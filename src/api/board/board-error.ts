import { errorResponse } from '@bull-board/api/dist/errors.js';
import type { ControllerHandlerReturnType, ErrorTranslationKey, HTTPStatus } from '@bull-board/api/typings/app';
import type { AppError } from '../../lib/errors/app-error.ts';
import { toAppError } from '../../lib/errors/classify.ts';

const answers: Readonly<Record<number, readonly [HTTPStatus, ErrorTranslationKey]>> = {
  400: [400, 'ERRORS.INVALID_REQUEST_BODY'],
  403: [403, 'ERRORS.FORBIDDEN'],
  404: [404, 'ERRORS.JOB_NOT_FOUND'],
};

/** An error as Bull Board's own page reads it. What went wrong inside is not told. */
export const boardError = (error: unknown): ControllerHandlerReturnType => {
  const fault: AppError = toAppError(error);
  const status: HTTPStatus = fault.status === 405 ? 405 : fault.status === 409 ? 409 : 500;
  const [known, key] = answers[fault.status] ?? [status, 'ERRORS.INTERNAL_SERVER_ERROR' as const];
  return errorResponse(known, key, { message: fault.message, code: fault.code });
};
