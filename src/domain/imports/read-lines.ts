import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { codeOf } from '../../lib/errors/classify.ts';
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

const withoutReturn = (bytes: Buffer): Buffer => (bytes.at(-1) === carriageReturn ? bytes.subarray(0, -1) : bytes);

/** Whole lines, the first of which has this number. Decoded at once where all of them are text, else one by one. */
const linesOf = (bytes: Buffer, first: number): readonly Line[] => {
  const decoded = decodeText(bytes);
  if ('text' in decoded) {
    const texts = decoded.text.split('\n');
    return texts.map((text, index) => ({
      number: first + index,
      text: text.endsWith('\r') ? text.slice(0, -1) : text,
    }));
  }
  const lines: Line[] = [];
  for (let from = 0; from <= bytes.length;) {
    const found = bytes.indexOf(newline, from);
    const end = found === -1 ? bytes.length : found;
    lines.push({ number: first + lines.length, ...decodeText(withoutReturn(bytes.subarray(from, end))) });
    from = end + 1;
  }
  return lines;
};

/** The bytes of a file; of one whose name ends in `.gz` those that were compressed. */
async function* chunksOf(path: string, signal: AbortSignal | undefined): AsyncGenerator<Buffer> {
  const file = createReadStream(path, { highWaterMark: 262_144, ...(signal ? { signal } : {}) });
  const gunzip = createGunzip({ chunkSize: 262_144 });
  // What goes wrong in one end is thrown where the other is read.
  const source = path.endsWith('.gz') ? pipeline(file, gunzip, () => undefined) : file;
  try {
    for await (const chunk of source) if (Buffer.isBuffer(chunk)) yield chunk;
  } catch (error) {
    throw codeOf(error)?.startsWith('Z_') === true ? new RefusedInput('is not a whole gzip file') : error;
  }
}

/**
 * Reads a file line by line in bounded memory; lines come some at a time, as they are read. A line that is not text comes as
 * a fault and reading goes on; a line over the record limit ends it.
 * @throws RefusedInput for UTF-16 and for a line that is too long.
 */
export async function* readLines(path: string, signal?: AbortSignal): AsyncGenerator<readonly Line[]> {
  let parts: Buffer[] = [];
  let pending = 0;
  let number = 1;
  const take = (bytes: Buffer): readonly Line[] => {
    const whole = parts.length === 0 ? bytes : Buffer.concat([...parts, bytes]);
    const lines = linesOf(number === 1 ? withoutByteOrderMark(whole) : whole, number);
    parts = [];
    pending = 0;
    number += lines.length;
    return lines;
  };
  for await (const chunk of chunksOf(path, signal)) {
    const end = chunk.lastIndexOf(newline);
    if (end !== -1) yield take(chunk.subarray(0, end));
    if (end + 1 < chunk.length) {
      parts.push(chunk.subarray(end + 1));
      pending += chunk.length - end - 1;
    }
    if (pending > importLimits.maxRecordBytes) {
      throw new RefusedInput(`is longer than the ${importLimits.maxRecordBytes} bytes one record may have`, number);
    }
  }
  if (pending > 0) yield take(Buffer.alloc(0));
}
