import { destination, pino, type Logger } from 'pino';
import { serializeError } from '../errors/classify.ts';

export type Log = Logger;

const redacted = [
  'password',
  'secret',
  'token',
  'apiKey',
  'authorization',
  'cookie',
  'payload',
  'values',
  'connectionString',
  '*.password',
  '*.secret',
  '*.token',
  '*.apiKey',
  '*.authorization',
  '*.cookie',
  '*.payload',
  '*.values',
  '*.connectionString',
  'req.headers.authorization',
  'req.headers.cookie',
  'headers.authorization',
  'headers.cookie',
];

export interface LogOptions {
  readonly level: string;
  readonly name?: string;
}

/**
 * A JSON logger on standard error, so that standard output stays for what a command prints. Every line carries `event`,
 * a fixed name; secrets and payloads are replaced by `[redacted]`, and errors keep code, message and stack.
 */
export const createLog = ({ level, name = 'treadle' }: LogOptions): Log =>
  pino(
    {
      name,
      level,
      redact: { paths: redacted, censor: '[redacted]' },
      serializers: { err: serializeError, error: serializeError },
      base: { name, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination({ dest: 2, sync: true }),
  );
