import { createHash } from 'node:crypto';

const names = new Map<string, string>();

/** The name under which a connection keeps a prepared statement: the same for the same text. */
export const statementName = (text: string): string => {
  const known = names.get(text);
  if (known !== undefined) return known;
  const name = `treadle_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`;
  names.set(text, name);
  return name;
};
