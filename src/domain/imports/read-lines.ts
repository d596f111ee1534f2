import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { importLimits } from './import-limits.ts';
import { RefusedInput } from './refused-input.ts';

/** A line without its end (LF or CRLF), or what is wrong with it. Numbers start at 1. */
export type Line =
  | { readonly number: number; readonly text: string }
  | { readonly number: number; readonly fault: string };

const newline = 0x0a;
const carriageReturn = 0x0d;

/** Decodes the bytes of a line, or names the byte that is not text. */
export const decodeText = (bytes: Buffer): { readonly text: string } | { readonly fault: string } => {
  if (bytes.includes(0)) return { fault: 'contains a NUL byte' };
  if (!isUtf8(bytes)) return { fault: 'is not valid UTF-8' };
  return { text: bytes.toString('utf8') };
};

/** Drops a UTF-8 byte order mark. @throws RefusedInput for UTF-16. */
export const withoutByteOrderMark = (bytes: Buffer): Buffer => {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return bytes.subarray(3);
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    throw new RefusedInput('is UTF-16; save it as UTF-8', 1);
  }
  return bytes;
};

const lineOf = (number: number, bytes: Buffer): Line => {
  const start = number === 1 ? withoutByteOrderMark(bytes) : bytes;
  return { number, ...decodeText(start.at(-1) === carriageReturn ? start.subarray(0, -1) : start) };
};

/**
 * Reads a file line by line in bounded memory. A line that is not text comes as a fault and reading goes on; a line over
 * the record limit ends it.
 * @throws RefusedInput for UTF-16 and for a line that is too long.
 */
export async function* readLines(path: string, signal?: AbortSignal): AsyncGenerator<Line> {
  let parts: Buffer[] = [];
  let pending = 0;
  let number = 1;
  for await (const chunk of createReadStream(path, { highWaterMark: 262_144, ...(signal ? { signal } : {}) })) {
    if (!Buffer.isBuffer(chunk)) continue;
    let from = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, from)) {
      const tail = chunk.subarray(from, end);
      yield lineOf(number, parts.length === 0 ? tail : Buffer.concat([...parts, tail]));
      parts = [];
      pending = 0;
      number += 1;
      from = end + 1;
    }
    if (from < chunk.length) {
      parts.push(chunk.subarray(from));
      pending += chunk.length - from;
    }
    if (pending > importLimits.maxRecordBytes) {
      throw new RefusedInput(`is longer than the ${importLimits.maxRecordBytes} bytes one record may have`, number);
    }
  }
  if (pending > 0) yield lineOf(number, Buffer.concat(parts));
}
