import { errorResponse } from '@bull-board/api/dist/errors.js';
import type { ControllerHandlerReturnType, ErrorTranslationKey, HTTPStatus } from '@bull-board/api/typings/app';
import { z } from 'zod';
import { requestFault } from '../errors/fastify-fault.ts';

const keys: Readonly<Record<number, ErrorTranslationKey>> = {
  400: 'ERRORS.INVALID_REQUEST_BODY',
  401: 'ERRORS.FORBIDDEN',
  403: 'ERRORS.FORBIDDEN',
  404: 'ERRORS.JOB_NOT_FOUND',
};

// The board's type knows fewer statuses than it passes on.
const anyStatus = z.custom<HTTPStatus>((status) => Number.isInteger(status));

/** Errors as Bull Board's own page reads them. What went wrong inside is not told. */
export const createBoardError =
  (maxBytes: number) =>
  (error: unknown): ControllerHandlerReturnType => {
    const { status, code, message } = requestFault(error, maxBytes);
    return errorResponse(anyStatus.parse(status), keys[status] ?? 'ERRORS.INTERNAL_SERVER_ERROR', { message, code });
  };
