import { z } from 'zod';
import { AppError } from '../../lib/errors/app-error.ts';
import { catalogue, type ErrorCode } from '../../lib/errors/catalogue.ts';
import { codeOf, serializeError } from '../../lib/errors/classify.ts';
import { serializeJson } from '../../queues/enqueue/serialize-payload.ts';

/** An error on its way from a thread to the worker: its class is lost there, what Treadle decides by is not. */
export const wireError = z.object({
  name: z.string(),
  message: z.string(),
  stack: z.string().optional(),
  code: z.string().optional(),
  /** Of an error of the catalogue. */
  app: z.object({ retryable: z.boolean(), details: z.unknown() }).optional(),
});
export type WireError = z.infer<typeof wireError>;

const isKnown = (code: string | undefined): code is ErrorCode => code !== undefined && code in catalogue;

/** What is thrown may have anything for a name or a message. */
const text = (value: unknown): string => String(value);

/** Any thrown value, as what can be sent. */
export const wireErrorOf = (error: unknown): WireError => {
  const { message, stack } = serializeError(error);
  const code = codeOf(error);
  const plain = {
    name: error instanceof Error ? text(error.name) : 'Error',
    message: text(message),
    ...(typeof stack === 'string' ? { stack } : {}),
    ...(code === undefined ? {} : { code }),
  };
  if (!(error instanceof AppError)) return plain;
  const details = serializeJson(error.details);
  return { ...plain, app: { retryable: error.retryable, details: 'json' in details ? JSON.parse(details.json) : {} } };
};

/** The error again: of the catalogue if it was, else one with the same name, message, code and stack. */
export const errorOfWire = ({ name, message, stack, code, app }: WireError): Error => {
  const details = app && isKnown(code) ? catalogue[code].details.safeParse(app.details) : undefined;
  const error =
    app && isKnown(code)
      ? new AppError(code, message, details?.data ?? {}, { retryable: app.retryable })
      : Object.assign(new Error(message), { name }, code === undefined ? {} : { code });
  if (stack !== undefined) error.stack = stack;
  return error;
};
