import { AppError } from '../../lib/errors/app-error.ts';
import { serializeError } from '../../lib/errors/classify.ts';
import type { JobContract } from '../define-job.ts';
import type { Outcome } from '../outcome.ts';
import { valuesAt } from './value-paths.ts';

/** Shorter texts are found by chance too often, and say too little. */
const leastLength = 3;

const textsIn = (value: unknown): readonly string[] => {
  if (typeof value === 'string') return value.length < leastLength ? [] : [value];
  if (typeof value === 'number') return String(value).length < leastLength ? [] : [String(value)];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
};

/** The same error with each of the values replaced wherever its message or stack quotes it. */
export const hideValues = (error: unknown, values: readonly unknown[]): unknown => {
  // Longer ones first, for they may contain others.
  const texts = [...new Set(values.flatMap(textsIn))].toSorted((a, b) => b.length - a.length);
  const hide = (text: string): string => texts.reduce((hidden, value) => hidden.replaceAll(value, '[redacted]'), text);
  if (typeof error === 'string') return hide(error);
  const { code, message, stack = '' } = serializeError(error);
  const hidden =
    error instanceof AppError
      ? new AppError(error.code, hide(message), error.details, { retryable: error.retryable })
      : Object.assign(new Error(hide(message)), { code });
  hidden.stack = hide(stack);
  return hidden;
};

type Hiding = Pick<JobContract, 'encrypt' | 'redact'>;

/** What lies in the payload where the contract hides it. */
export const secretsIn = (payload: unknown, { encrypt, redact }: Hiding): readonly unknown[] =>
  encrypt.length + redact.length === 0 ? [] : valuesAt(payload, [...redact, ...encrypt]);

/** What a contract hides is not told by the error of an outcome either. */
export const hideSecrets = (outcome: Outcome, contract: Hiding, payload: unknown): Outcome => {
  if (!('error' in outcome)) return outcome;
  const secrets = secretsIn(payload, contract);
  return secrets.length === 0 ? outcome : { ...outcome, error: hideValues(outcome.error, secrets) };
};
