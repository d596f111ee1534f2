import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { codeOf } from '../../lib/errors/classify.ts';
import { AppError, validationError } from '../../lib/errors/app-error.ts';
import { errorBody } from './error-reply.ts';

const faultOf = (code: string | undefined): AppError => {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new AppError('PAYLOAD_TOO_LARGE', 'the headers are too large', { maxBytes: 16_384 });
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new AppError('TIMEOUT', 'the request took too long to arrive', {});
  return validationError('the request', [{ path: '', message: 'is not well-formed HTTP' }]);
};

/** Answers what is not HTTP at all: Node found no request in it, so the answer is written to the socket by hand. */
export const answerClientError = (error: Error, socket: Socket): void => {
  if (!socket.writable || codeOf(error) === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const fault = faultOf(codeOf(error));
  const body = JSON.stringify(errorBody(fault, randomUUID()));
  const status = fault.status === 413 ? 431 : fault.status === 504 ? 408 : 400;
  socket.end(
    `HTTP/1.1 ${status} Bad Request\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
};
