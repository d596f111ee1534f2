import fs from 'node:fs';

const loaded = new Map<string, string>();

/** The text of a `.sql` file, read once: `loadSql(new URL('./pick-due.sql', import.meta.url))`. */
export const loadSql = (file: URL): string => {
  const known = loaded.get(file.href);
  if (known !== undefined) return known;
  const text = fs.readFileSync(file, 'utf8');
  loaded.set(file.href, text);
  return text;
};
