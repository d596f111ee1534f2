import { open } from 'node:fs/promises';
import { knowledgeLimits } from '../knowledge/input.ts';
import { importLimits } from './import-limits.ts';
import { decodeText, withoutByteOrderMark } from './read-lines.ts';
import { RefusedInput } from './refused-input.ts';

const lineOfFault = (bytes: Buffer): number => {
  let line = 1;
  for (let from = 0; from < bytes.length; line += 1) {
    const end = bytes.indexOf(0x0a, from);
    const upTo = end === -1 ? bytes.length : end;
    if ('fault' in decodeText(bytes.subarray(from, upTo))) return line;
    from = upTo + 1;
  }
  return line;
};

/**
 * Reads a whole file that is one document, as text with LF line ends and without a byte order mark.
 * @throws RefusedInput for what is not UTF-8 text, and for a file that is larger than a document may be.
 */
export const readTextFile = async (path: string): Promise<string> => {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    // One byte more than there should be shows a file that is being written to.
    const buffer = Buffer.allocUnsafe(Math.min(size, importLimits.maxFileBytes) + 1);
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    if (length > importLimits.maxFileBytes) {
      throw new RefusedInput(`is larger than the ${knowledgeLimits.contentBytes} bytes one document may have`);
    }
    if (length !== size) throw new RefusedInput('is being written to; import it again when it is complete');
    const bytes = withoutByteOrderMark(buffer.subarray(0, length));
    const decoded = decodeText(bytes);
    if ('fault' in decoded) throw new RefusedInput(decoded.fault, lineOfFault(bytes));
    return decoded.text.replaceAll('\r\n', '\n');
  } finally {
    await file.close();
  }
};
