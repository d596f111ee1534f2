import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

export interface StandIn {
  /** To be the PATH of what is to find it. */
  readonly folder: string;
  /** How it was called, the last time. */
  calls(): Promise<{ readonly args: readonly string[]; readonly env: Readonly<Record<string, string>> }>;
  remove(): Promise<void>;
}

/** A program named pg_dump that says it has this version, notes how it is called, and writes `a dump` or fails. */
export const standInPgDump = async (version: string, fails = ''): Promise<StandIn> => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-pg-dump-'));
  const notes = path.join(folder, 'calls.json');
  const source = `#!${process.execPath}
const args = process.argv.slice(2);
if (args.includes('--version')) console.log('pg_dump (PostgreSQL) ${version}');
else {
  require('node:fs').writeFileSync(${JSON.stringify(notes)}, JSON.stringify({ args, env: process.env }));
  process.stdout.write('a dump');
  if (${JSON.stringify(fails)} !== '') { console.error(${JSON.stringify(fails)}); process.exitCode = 1; }
}
`;
  await fs.writeFile(path.join(folder, 'pg_dump'), source, { mode: 0o755 });
  return {
    folder,
    calls: async () => JSON.parse(await fs.readFile(notes, 'utf8')) as Awaited<ReturnType<StandIn['calls']>>,
    remove: () => fs.rm(folder, { recursive: true }),
  };
};
