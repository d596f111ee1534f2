import { randomFillSync } from 'node:crypto';
import { v7 } from 'uuid';

const bytesEach = 16;
/** Random bytes are drawn for many ids at once: drawing them costs more than all else. */
const pool = new Uint8Array(bytesEach * 512);
let used = pool.length;
let lastMs = 0;
let sequence = 0;

/**
 * A version 7 UUID (RFC 9562): milliseconds, a counter of 32 bits that starts at random each millisecond, random bits.
 * Those of one process sort in the order in which they were made, also when the clock goes back.
 */
export const uuidV7 = (): string => {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const random = pool.subarray(used, used + bytesEach);
  used += bytesEach;
  const nowMs = Date.now();
  if (nowMs > lastMs) {
    lastMs = nowMs;
    // The top bit stays clear, so that counting up cannot overflow within a millisecond.
    sequence = new DataView(random.buffer, random.byteOffset).getUint32(0) >>> 1;
  } else {
    sequence += 1;
  }
  return v7({ msecs: lastMs, seq: sequence, random });
};

/** When a version 7 UUID was made, in ms since 1970. */
export const timeOfUuidV7 = (id: string): number => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
