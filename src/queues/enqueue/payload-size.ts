import type { Fault } from '../../lib/errors/app-error.ts';

/** Payloads that take more bytes as JSON lie in treadle.payloads, and neither in treadle.jobs nor in the queue. */
const largePayloadBytes = 65_536;
/** What a payload or a result may take as JSON. */
const maxJsonBytes = 16_777_216;

/** The fault of JSON text that is too large to be kept. */
export const sizeFault = (bytes: number, path: string): Fault | undefined =>
  bytes > maxJsonBytes
    ? { path, message: `has ${bytes} bytes as JSON, more than the ${maxJsonBytes} that are allowed` }
    : undefined;

/** How many bytes a large payload takes as JSON; undefined for one that takes at most `atMostBytes`, and is not large. */
export const largeBytesOf = (payload: unknown, atMostBytes: number): number | undefined => {
  if (atMostBytes <= largePayloadBytes) return undefined;
  const bytes = Buffer.byteLength(JSON.stringify(payload));
  return bytes > largePayloadBytes ? bytes : undefined;
};
