import { readLsn } from '../postgres/lsn.ts';

/** A position in the server's write-ahead log, in bytes. */
export type Lsn = bigint;

/** Reads `16/B374D848`, as Postgres writes it. @throws Error for a text that is none. */
export const parseLsn = (text: string): Lsn => {
  const lsn = readLsn(text);
  if (lsn === undefined) throw new Error(`not a WAL position: ${JSON.stringify(text)}`);
  return lsn;
};

export const formatLsn = (lsn: Lsn): string =>
  `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xff_ff_ff_ffn).toString(16).toUpperCase()}`;
