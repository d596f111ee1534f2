import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, DatabaseError } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { createRandom, type Random } from '../random.ts';
import type { SyncSize } from './sizes.ts';

export interface Written {
  /** Made, whether or not their transaction was rolled back. */
  readonly keys: number;
  readonly units: number;
  /** Ended by an error: of a deadlock, or of two that made the same. */
  readonly failed: number;
}

type Plan = Pick<SyncSize, 'mostRows' | 'bulkShare' | 'truncateShare'>;

export interface WriterOptions extends Plan, Pick<SyncSize, 'writers' | 'keys' | 'unitsPerSecond'> {
  readonly url: string;
  readonly seed: number;
  /** Aborted when writers may end, once there are enough keys. */
  readonly signal: AbortSignal;
}

interface Step {
  readonly text: string;
  readonly values?: readonly unknown[];
  /** Lines for COPY. */
  readonly lines?: string;
  /** The transaction stays open for so long behind it. */
  readonly holdMs?: number;
}

/** What one writer does in one go: a transaction, or a statement by itself. */
interface Unit {
  readonly keys: number;
  readonly steps: readonly Step[];
}

const workspaceOf = `md5('workspace ' || n % 3)::uuid`;
const idOf = `md5('document ' || n)::uuid`;
/** Text of so many bytes, each time another. */
const textOf = (bytes: string): string =>
  `(SELECT string_agg(md5(random()::text), ' ') FROM generate_series(1, greatest(1, (${bytes}) / 33)) AS piece)`;

const step = (text: string, ...values: readonly unknown[]): Step => ({ text, values });
const begin = step('BEGIN');
const commit = step('COMMIT');

const insertDocuments = (low: number, high: number, bytes: number): Step =>
  step(
    `INSERT INTO treadle.knowledge (id, workspace_id, title, content, status, author_id)
     SELECT ${idOf}, ${workspaceOf}, 'document ' || n, ${textOf('$3::integer + n - n')},
       CASE n % 2 WHEN 0 THEN 'draft' ELSE 'published' END, CASE n % 5 WHEN 0 THEN md5('author ' || n % 3)::uuid END
     FROM generate_series($1::integer, $2::integer) AS n ON CONFLICT DO NOTHING`,
    low,
    high,
    bytes,
  );
const insertNotes = (low: number, high: number, bytes: number): Step =>
  step(
    `INSERT INTO oracle.notes SELECT 'team ' || n % 3, n, 'note ' || n, ${textOf('$3::integer + n - n')}, n % 10
     FROM generate_series($1::integer, $2::integer) AS n ON CONFLICT DO NOTHING`,
    low,
    high,
    bytes,
  );
const tagDocuments = (low: number, high: number, tag: number): Step =>
  step(
    `INSERT INTO treadle.knowledge_tags (workspace_id, knowledge_id, tag_id)
     SELECT k.workspace_id, k.id, md5('tag ' || n % 3 || ' ' || $3::integer)::uuid FROM generate_series($1::integer, $2::integer) AS n
     JOIN treadle.knowledge AS k ON k.id = ${idOf} ON CONFLICT DO NOTHING`,
    low,
    high,
    tag,
  );
const copyNotes = (low: number, high: number): Step => ({
  text: 'COPY oracle.notes (team, id, title, body, rank) FROM STDIN',
  lines: Array.from(
    { length: high - low + 1 },
    (_, at) => `team ${(low + at) % 3}\t${low + at}\tcopied ${low + at}\tbody ${at}\t1\n`,
  ).join(''),
});

const few = 3;

/** Changes of what is there; each of a few keys, so that most are touched once. */
const changes: readonly ((random: Random, at: number) => readonly Step[])[] = [
  (_, at) => [
    step(
      `UPDATE treadle.knowledge SET title = 'changed ' || random() WHERE id = md5('document ' || $1::integer)::uuid`,
      at,
    ),
  ],
  (_, at) => [step('UPDATE oracle.notes SET rank = rank + 1 WHERE id BETWEEN $1 AND $2', at, at + few)],
  (random, at) => [
    step(`UPDATE oracle.notes SET body = ${textOf('$2::integer')} WHERE id = $1`, at, random.int(10, 90_000)),
  ],
  (_, at) => [step(`UPDATE oracle.notes SET team = 'moved', rank = -1 WHERE id = $1`, at)],
  (_, at) => [
    step(
      `DELETE FROM treadle.knowledge WHERE id IN (SELECT ${idOf} FROM generate_series($1::integer, $2::integer) AS n)`,
      at,
      at + few,
    ),
  ],
  (_, at) => [step('DELETE FROM oracle.notes WHERE id BETWEEN $1 AND $2', at, at + few)],
  (random, at) => [tagDocuments(at, at + few, random.int(0, 9))],
  (random) => [
    step(
      `UPDATE treadle.tags SET name = 'renamed ' || random() WHERE id = md5('tag ' || $1::integer || ' ' || $2::integer)::uuid`,
      random.int(0, 2),
      random.int(0, 9),
    ),
  ],
  (random) => [
    step(
      `UPDATE treadle.users SET name = 'renamed ' || random() WHERE id = md5('author ' || $1::integer)::uuid`,
      random.int(0, 2),
    ),
  ],
  // Again under the key of one that is gone, and gone again under one that is there again.
  (_, at) => [insertDocuments(at, at, 100), insertNotes(at, at, 100)],
];

/** New rows: each key once in a run. */
const creations: readonly ((random: Random, low: number, high: number) => readonly Step[])[] = [
  (_, low, high) => [insertDocuments(low, high, 300), insertNotes(low, high, 300)],
  (_, low, high) => [insertDocuments(low, high, 300)],
  (random, low, high) => [insertDocuments(low, high, 100), tagDocuments(low, high, random.int(0, 9))],
  (_, low, high) => [insertNotes(low, high, 300)],
];

const planCreation = (random: Random, low: number, { mostRows, bulkShare }: Plan): Unit => {
  const kind = random.next();
  if (kind < bulkShare) {
    const high = low + random.int(Math.ceil(mostRows / 3), mostRows);
    const steps = random.next() < 0.5 ? [copyNotes(low, high)] : [insertNotes(low, high, 60)];
    return {
      keys: high - low + 1,
      steps: random.next() < 0.5 ? [insertDocuments(low, low + 99, 60), ...steps] : steps,
    };
  }
  // Large ones, by themselves.
  if (kind < bulkShare + 0.05) {
    const bytes = random.int(50_000, 500_000);
    return {
      keys: 1,
      steps: [random.next() < 0.3 ? insertDocuments(low, low, bytes / 4) : insertNotes(low, low, bytes)],
    };
  }
  const high = low + random.int(0, 9);
  return { keys: high - low + 1, steps: random.pick(creations)(random, low, high) };
};

const inTransaction = (random: Random, unit: Unit, more: readonly Step[]): Unit => {
  const kind = random.next();
  const { keys, steps } = unit;
  if (kind < 0.45) return unit;
  if (kind < 0.6) return { keys, steps: [begin, ...steps, ...more, step('ROLLBACK')] };
  if (kind < 0.75) {
    const part = [step('SAVEPOINT here'), ...more, step('ROLLBACK TO SAVEPOINT here')];
    return { keys, steps: [begin, ...steps, ...part, step('SAVEPOINT again'), ...more, step('RELEASE again'), commit] };
  }
  const holdMs = random.next() < 0.2 ? random.int(500, 4_000) : random.int(0, 30);
  return { keys, steps: [begin, ...steps, { ...step('SELECT'), holdMs }, ...more, commit] };
};

const truncated = ['oracle.notes', 'oracle.notes', 'treadle.knowledge_tags', 'treadle.knowledge CASCADE'];

/** The next unit of a run: the same for the same numbers drawn. */
const planUnit = (random: Random, made: number, plan: Plan): Unit => {
  const old = random.int(0, Math.max(1, made));
  const change = random.pick(changes)(random, old);
  const kind = random.next();
  if (kind < plan.truncateShare && made > 500) {
    const table = random.pick(truncated);
    return { keys: 0, steps: [step(`TRUNCATE ${table}`)] };
  }
  if (kind < 0.4) return inTransaction(random, { keys: 0, steps: change }, random.pick(changes)(random, old));
  return inTransaction(random, planCreation(random, made, plan), change);
};

const runStep = async (client: Client, { text, values = [], lines, holdMs = 0 }: Step): Promise<void> => {
  if (lines === undefined) await client.query(text, [...values]);
  else {
    const copy = client.query(copyFrom(text));
    copy.end(lines);
    await once(copy, 'finish');
  }
  if (holdMs > 0) await delay(holdMs);
};

/** Writers in plain SQL, until they are told that it is enough; a unit a turn, each the next of one plan. */
export const runWriters = async (options: WriterOptions): Promise<Written> => {
  const { url, seed, writers, keys, unitsPerSecond, signal } = options;
  const random = createRandom(seed, 'writers');
  const startedAt = performance.now();
  let [made, units, failed] = [0, 0, 0];
  const write = async (): Promise<void> => {
    const client = new Client({ connectionString: url, application_name: 'oracle-writer' });
    // What it breaks is told by the statement under way.
    client.on('error', () => undefined);
    await client.connect();
    try {
      while (!signal.aborted || made < keys) {
        const unit = planUnit(random, made, options);
        made += unit.keys;
        units += 1;
        const dueIn = startedAt + (units / unitsPerSecond) * 1_000 - performance.now();
        if (dueIn > 0) await delay(dueIn);
        try {
          for (const one of unit.steps) await runStep(client, one);
        } catch (error) {
          if (!(error instanceof DatabaseError)) throw error;
          failed += 1;
          await client.query('ROLLBACK');
        }
      }
    } finally {
      await client.end();
    }
  };
  await Promise.all(Array.from({ length: writers }, write));
  return { keys: made, units, failed };
};
