const form = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i;

/** A position in the write-ahead log, in bytes, of `16/B374D848` as Postgres writes it; undefined for a text that is none. */
export const readLsn = (text: string): bigint | undefined => {
  const [, high, low] = form.exec(text) ?? [];
  return high === undefined || low === undefined ? undefined : (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
};
