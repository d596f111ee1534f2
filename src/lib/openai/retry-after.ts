const longestMs = 3_600_000;
const defaultMs = 5_000;

const readMs = (headers: Headers, now: number): number => {
  const milliseconds = headers.get('retry-after-ms');
  if (milliseconds !== null && Number.isFinite(Number(milliseconds))) return Number(milliseconds);
  const value = headers.get('retry-after');
  if (value === null || value.trim() === '') return defaultMs;
  const seconds = Number(value);
  if (Number.isFinite(seconds)) return seconds * 1_000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? defaultMs : date - now;
};

/**
 * How long a server asks to be left alone: `retry-after-ms`, or Retry-After in seconds or as a date (RFC 9110, 10.2.3).
 * 5 s where it does not say; never more than an hour, never less than nothing.
 */
export const retryAfterMs = (headers: Headers | undefined, now = Date.now()): number =>
  Math.min(longestMs, Math.max(0, Math.ceil(headers ? readMs(headers, now) : defaultMs)));
