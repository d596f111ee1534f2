import { serializeError, type SerializedError } from '../../lib/errors/classify.ts';
import type { Log } from '../../lib/log/create-log.ts';
import { hideValues } from '../../queues/payloads/hide-values.ts';

/** The log of a handler: says of which job it is, and neither its errors nor its messages quote the `secrets`. */
export const bindLog = (log: Log, job: Readonly<Record<string, unknown>>, secrets: readonly unknown[]): Log => {
  if (secrets.length === 0) return log.child(job);
  const serialize = (error: unknown): SerializedError => serializeError(hideValues(error, secrets));
  // Without a message of its own a line repeats the error's as `msg`.
  const msg = (text: unknown): unknown => hideValues(text, secrets);
  return log.child(job, { serializers: { err: serialize, error: serialize, msg } });
};
