import { z } from 'zod';

/**
 * A place in the order in which events are read: by transaction, then by number. Numbers begin at 1, so that number 0 is
 * before all events of its transaction.
 */
export interface Position {
  readonly xid: bigint;
  readonly seq: bigint;
}

/** Before all events. */
export const beginning: Position = { xid: 0n, seq: 0n };

/** Where whoever begins now begins: what is committed from now on lies behind `position`, and so does what `knows` is true for. */
export interface Start {
  readonly position: Position;
  /** No transaction from here on had begun. */
  readonly end: bigint;
  /** Whether what the transaction wrote had been committed before. */
  readonly knows: (xid: bigint) => boolean;
}

/** Of a snapshot as Postgres writes it: `xmin:xmax:xid,xid`. */
export const startOf = (snapshot: string): Start => {
  const [xmin = '0', xmax = '0', running = ''] = snapshot.split(':');
  const still = new Set(running.split(','));
  return {
    position: { xid: BigInt(xmin), seq: 0n },
    end: BigInt(xmax),
    knows: (xid) => xid < BigInt(xmax) && !still.has(String(xid)),
  };
};

const greatest = { xid: 2n ** 64n - 1n, seq: 2n ** 63n - 1n };

export const isAfter = (a: Position, b: Position): boolean => (a.xid === b.xid ? a.seq > b.seq : a.xid > b.xid);

export const positionText = ({ xid, seq }: Position): string => `${xid}.${seq}`;

/** What {@link positionText} wrote. */
export const positionFromText = z
  .string()
  .regex(/^\d{1,20}\.\d{1,19}$/, 'must be the id of an event of this stream, such as 7423.18')
  .transform((text): Position => {
    const [xid = '0', seq = '0'] = text.split('.');
    return { xid: BigInt(xid), seq: BigInt(seq) };
  })
  .refine(({ xid, seq }) => xid <= greatest.xid && seq <= greatest.seq, 'must be the id of an event of this stream');
