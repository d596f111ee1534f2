import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'pg';
import { nowMs } from '../worker-process.ts';

/** A row as its commit left it. */
export interface Committed {
  readonly id: string;
  readonly mark: string;
  /** When its COMMIT was answered, by {@link nowMs}. */
  readonly atMs: number;
}

// Commits single rows at a rate, in a process of its own: `node sync-writer.ts <Postgres URL> <commits a second> <seconds>`. Tells
// its parent of each twentieth of a second's commits, and ends.
const [postgresUrl, rate, seconds] = [process.argv[2] ?? '', Number(process.argv[3]), Number(process.argv[4])];
const pool = new Pool({ connectionString: postgresUrl, max: 8 });
const { rows } = await pool.query<{ id: string }>('SELECT id FROM public.article ORDER BY place LIMIT $1', [
  rate * seconds,
]);
let told: Committed[] = [];
const commit = async (id: string, place: number): Promise<void> => {
  const mark = `commit-${place}`;
  await pool.query({
    name: 'commit',
    text: 'UPDATE public.article SET mark = $2 WHERE id = $1',
    values: [id, mark],
  });
  told.push({ id, mark, atMs: nowMs() });
};
const tell = (): void => {
  process.send?.(told);
  told = [];
};

await Promise.all(Array.from({ length: 8 }, () => pool.query('SELECT 1')));
const startedAt = performance.now();
const telling = setInterval(tell, 50);
const under = new Set<Promise<void>>();
for (let place = 0; place < rows.length;) {
  const due = Math.min(rows.length, Math.floor(((performance.now() - startedAt) * rate) / 1_000));
  for (; place < due; place += 1) {
    const one = commit(rows[place]?.id ?? '', place).finally(() => under.delete(one));
    under.add(one);
  }
  await delay(1);
}
await Promise.all(under);
clearInterval(telling);
tell();
await pool.end();
process.disconnect();
