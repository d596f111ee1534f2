/** A position in the server's write-ahead log, in bytes. */
export type Lsn = bigint;

const form = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i;

/** Reads `16/B374D848`, as Postgres writes it. @throws Error for a text that is none. */
export const parseLsn = (text: string): Lsn => {
  const [, high, low] = form.exec(text) ?? [];
  if (high === undefined || low === undefined) throw new Error(`not a WAL position: ${JSON.stringify(text)}`);
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
};
