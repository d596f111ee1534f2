import { validationError } from '../errors/app-error.ts';

const longestKey = 16_384;
/** @throws AppError VALIDATION_ERROR for what can be no key: no text, an empty one, or one over 16 kB. */
export const checkKey = (key: unknown): string => {
  if (typeof key !== 'string' || key === '' || key.length > longestKey || !key.isWellFormed()) {
    const message = `must be text of 1 to ${longestKey} characters`;
    throw validationError('the cache', [{ path: 'key', message }]);
  }
  return key;
};

/** What would end a hash tag, and what can't be read in a terminal. */
// oxlint-disable-next-line no-control-regex
const unsafe = /[%{}\u0000-\u0020\u007f-\uffff]+/g;
const safe = /^[!-$&-z|~]*$/;
const special = /[*?[\]\\]/g;

/** Any text as a part of a key of Redis, and back by {@link fromRedisText}. */
export const toRedisText = (text: string): string =>
  safe.test(text) ? text : text.replaceAll(unsafe, encodeURIComponent);

export const fromRedisText = (text: string): string => (text.includes('%') ? decodeURIComponent(text) : text);

/** For `SCAN … MATCH`, to stand for itself. */
export const escapedGlob = (text: string): string => text.replaceAll(special, String.raw`\$&`);

/** For `SCAN … MATCH`: what begins so, or with less of it where that can't be said. */
export const redisGlobOf = (prefix: string): string => {
  const end = prefix.search(unsafe);
  return escapedGlob(end < 0 ? prefix : prefix.slice(0, end));
};
