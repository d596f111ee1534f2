const form = /^([0-9a-f]{1,8})\/([0-9a-f]{1,8})$/i;

/** A position in the write-ahead log, as Postgres shows it (`16/B374D848`), in numbers that compare; undefined for other text. */
export const parseLsn = (text: string): bigint | undefined => {
  const [, high, low] = form.exec(text) ?? [];
  return high === undefined || low === undefined ? undefined : (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
};
