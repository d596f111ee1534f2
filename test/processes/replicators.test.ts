import type { ChildProcess } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runTreadle } from '../cli/run-treadle.ts';
import { useDatabase } from '../services/database.ts';
import { findElasticsearch } from '../services/elasticsearch-service.ts';
import { freePort } from '../services/redis-server.ts';
import type { MissingService, Service } from '../services/service.ts';
import { dropSlot, slotNameOf } from '../../src/lib/replication/slot.ts';
import { useTreadleProcesses } from './treadle-processes.ts';

const deadlineMs = 30_000;

/** Before `useDatabase`, so that it ends after the processes that use it. */
let found: Service | MissingService = { missing: 'not looked for' };

describe('of three API processes and two replicators', () => {
  const database = useDatabase();
  const processes = useTreadleProcesses();
  const replicators = new Set<ChildProcess>();
  const urls: string[] = [];
  let env: Record<string, string> = {};
  beforeAll(async () => {
    found = await findElasticsearch();
    if ('missing' in found) {
      if (process.env['CI'] === 'true') throw new Error(`with CI=true every server must be there: ${found.missing}`);
      return;
    }
    const prefix = `takeover-${process.pid}-`;
    env = { DATABASE_URL: database.url, ELASTICSEARCH_URL: found.url, ELASTICSEARCH_PREFIX: prefix };
    for (const child of await Promise.all([1, 2].map(() => processes.start('replicator', env)))) replicators.add(child);
    for (const port of [await freePort(), await freePort(), await freePort()]) {
      await processes.start('api', { ...env, TREADLE_PORT: String(port) });
      urls.push(`http://127.0.0.1:${port}`);
    }
    const built = await runTreadle(['rebuild', '--json'], { env });
    if (built.exitCode !== 0) throw new Error(built.stderr);
    await database.query(`INSERT INTO treadle.workspaces (name) VALUES ('shared')`);
  }, 180_000);
  afterAll(async () => {
    for (const child of replicators) await processes.end(child, 'SIGKILL');
    await dropSlot(database.postgres, await slotNameOf(database.postgres));
    if (!('missing' in found)) await found.stop();
  });

  /** The process that streams: its id holds its pid. */
  const streaming = async (): Promise<number> => {
    const [row] = await database.query<{ pid: string }>(
      `SELECT split_part(stream.process_id, ':', 2) AS pid FROM treadle.change_stream AS stream, pg_replication_slots AS slot
       WHERE stream.state = 'streaming' AND slot.slot_name = stream.slot AND slot.active`,
    );
    return Number(row?.pid ?? 0);
  };
  const holder = async (): Promise<ChildProcess> => {
    let child: ChildProcess | undefined;
    await expect
      .poll(
        async () => {
          const pid = await streaming();
          child = [...replicators].find((one) => one.pid === pid);
          return child !== undefined;
        },
        { timeout: deadlineMs },
      )
      .toBe(true);
    if (!child) throw new Error('nobody streams');
    return child;
  };
  const write = async (title: string): Promise<void> => {
    await database.query(
      `INSERT INTO treadle.knowledge (workspace_id, title) SELECT id, $1 FROM treadle.workspaces WHERE name = 'shared'`,
      [title],
    );
  };
  const isFound = async (url: string, title: string): Promise<boolean> => {
    const response = await fetch(`${url}/v1/workspaces/shared/search`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: `"${title}"`, mode: 'keyword' }),
    });
    const answer = (await response.json()) as { total?: number; backend?: string };
    return answer.backend === 'elasticsearch' && answer.total === 1;
  };
  /** How long until Elasticsearch shows what was just written, to whichever API process. */
  const untilFound = async (title: string): Promise<number> => {
    const startedAt = performance.now();
    await write(title);
    for (const url of urls) {
      await expect.poll(() => isFound(url, title), { timeout: deadlineMs, interval: 50 }).toBe(true);
    }
    return Math.round(performance.now() - startedAt);
  };
  const reader = async (): Promise<number | null> => {
    const [slot] = await database.query<{ pid: number | null }>(
      `SELECT active_pid AS pid FROM pg_replication_slots WHERE slot_type = 'logical' AND database = current_database()`,
    );
    return slot?.pid ?? null;
  };
  /** How long until somebody else reads the slot. */
  const untilTakenOver = async (before: number | null): Promise<number> => {
    const startedAt = performance.now();
    const isOther = async () => ![null, before].includes(await reader());
    await expect.poll(isOther, { timeout: deadlineMs, interval: 20 }).toBe(true);
    return Math.round(performance.now() - startedAt);
  };
  const expectVerified = async (): Promise<void> => {
    const verified = await runTreadle(['verify', '--json'], { env });
    expect(JSON.parse(verified.stdout)).toMatchObject({ missing: 0, different: 0, surplus: 0 });
    expect(verified.exitCode).toBe(0);
  };
  /** Documents that are changed all the time, so that something is always on its way. */
  const underLoad = async <T>(work: () => Promise<T>): Promise<T> => {
    await database.query(
      `INSERT INTO treadle.knowledge (workspace_id, title)
       SELECT id, 'Busy ' || n FROM treadle.workspaces, generate_series(1, 200) AS n WHERE name = 'shared'`,
    );
    const over = new AbortController();
    const writing = (async () => {
      for (let turn = 0; !over.signal.aborted; turn += 1) {
        await database.query(`UPDATE treadle.knowledge SET content = $1 WHERE title = 'Busy ' || $2::int`, [
          `turn ${turn}`,
          1 + (turn % 200),
        ]);
        if (turn % 10 === 9)
          await database.query(`DELETE FROM treadle.knowledge WHERE title = 'Busy ' || $1::int`, [1 + (turn % 199)]);
        await delay(2);
      }
    })();
    try {
      return await work();
    } finally {
      over.abort();
      await writing;
    }
  };

  test('the other replicator goes on when the one that streams is killed', async ({ skip }) => {
    if ('missing' in found) skip(found.missing);
    await untilFound('Before anything');
    const first = await holder();
    const before = await reader();
    const [takenOverMs, foundMs] = await underLoad(() => {
      first.kill('SIGKILL');
      return Promise.all([untilTakenOver(before), untilFound('After the kill')]);
    });
    console.log(`kill -9: taken over after ${takenOverMs} ms, found everywhere after ${foundMs} ms`);
    expect((await holder()).pid).not.toBe(first.pid);
    await expectVerified();
    replicators.delete(first);
    replicators.add(await processes.start('replicator', env));
  });

  test('the other replicator goes on when the one that streams stands still, which writes nothing wrong when it wakes', async ({
    skip,
  }) => {
    if ('missing' in found) skip(found.missing);
    const first = await holder();
    const before = await reader();
    const [takenOverMs, foundMs] = await underLoad(async () => {
      first.kill('SIGSTOP');
      const took = await Promise.all([untilTakenOver(before), untilFound('After the stop')]);
      const [{ now } = { now: new Date() }] = await database.query<{ now: Date }>('SELECT clock_timestamp() AS now');
      first.kill('SIGCONT');
      // It is awake, and has seen what became of its stream.
      await expect
        .poll(
          () => database.query('SELECT FROM treadle.processes WHERE pid = $1 AND beat_at > $2', [first.pid ?? 0, now]),
          { timeout: 20_000 },
        )
        .toHaveLength(1);
      return took;
    });
    console.log(`SIGSTOP: taken over after ${takenOverMs} ms, found everywhere after ${foundMs} ms`);
    expect((await holder()).pid).not.toBe(first.pid);
    await untilFound('After it woke');
    await expectVerified();
  });
});
