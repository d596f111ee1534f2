import { z } from 'zod';

const typeForm = /^[a-z0-9-]+(?:\.[a-z0-9-]+)+$/;
const patternForm = /^[a-z0-9.*-]+$/;
const maxLength = 200;

/** What happened to what, such as `order.paid`. */
export const eventType = z
  .string({ error: 'must be text' })
  .max(maxLength, `must have at most ${maxLength} characters`)
  .regex(typeForm, 'must be lower case words joined by dots, such as order.paid');

/** A type, or several: `*` stands for any characters, dots too. */
const eventPattern = z
  .string({ error: 'must be text' })
  .max(maxLength, `must have at most ${maxLength} characters`)
  .regex(patternForm, 'must be a type such as order.paid, or a pattern such as order.*');

/** Patterns, any of which may fit. */
export const eventPatterns = z
  .array(eventPattern, { error: 'must be a list of types' })
  .min(1, 'must name at least one type')
  .max(100, 'must have at most 100 types')
  .readonly();

/** Whether the parts come in the text one after another, the first at its beginning and the last at its end. */
const hasInOrder = (text: string, [first = '', ...rest]: readonly string[]): boolean => {
  const last = rest.at(-1);
  if (last === undefined) return text === first;
  if (!text.startsWith(first)) return false;
  let from = first.length;
  for (const part of rest.slice(0, -1)) {
    const at = text.indexOf(part, from);
    if (at < 0) return false;
    from = at + part.length;
  }
  return text.length - last.length >= from && text.endsWith(last);
};

/** Whether a type fits any of the patterns, in time linear in their lengths. */
export const matcherOf = (patterns: readonly string[]): ((type: string) => boolean) => {
  if (patterns.includes('*')) return () => true;
  const exact = new Set(patterns.filter((pattern) => !pattern.includes('*')));
  const globs = patterns.filter((pattern) => pattern.includes('*')).map((pattern) => pattern.split('*'));
  return (type) => exact.has(type) || globs.some((parts) => hasInOrder(type, parts));
};

/** The patterns as LIKE has them; undefined where every type fits. */
export const likePatterns = (patterns: readonly string[]): string[] | undefined =>
  patterns.includes('*') ? undefined : patterns.map((pattern) => pattern.replaceAll(/\*+/g, '%'));
