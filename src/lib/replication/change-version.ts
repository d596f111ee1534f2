import type { Lsn } from './lsn.ts';

const epochBits = 50n;
const mostEpochs = 8_191;

/**
 * The version under which the content of a position is written to a store that refuses older ones: whole numbers below
 * 2^63 that grow with the position, and with the epoch before it. Positions are multiples of 8.
 * @throws Error for an epoch out of range.
 */
export const versionOf = (epoch: number, position: Lsn): bigint => {
  if (!Number.isInteger(epoch) || epoch < 0 || epoch > mostEpochs) throw new Error(`not an epoch: ${epoch}`);
  return (BigInt(epoch) << epochBits) + (position >> 3n);
};

/**
 * The position by which all content of one transaction is versioned. It lies inside its commit record, so that it is above the end of
 * every transaction before and below that of this one, which two neighbours may share with their beginnings.
 */
export const positionOfCommit = (commitLsn: Lsn): Lsn => commitLsn + 8n;
