import { randomInt } from 'node:crypto';
import { Pool } from 'pg';
import { KnowledgeService } from '../src/domain/knowledge/service.ts';
import { LinkRepository } from '../src/domain/nodes/link-repository.ts';
import { NodeQueries } from '../src/domain/nodes/node-queries.ts';
import type { NodeInput } from '../src/domain/nodes/input.ts';
import { UnifiedNodeService } from '../src/domain/nodes/unified-node-service.ts';
import { WorkspaceService } from '../src/domain/workspaces/service.ts';
import { createLog } from '../src/lib/log/create-log.ts';
import { Postgres } from '../src/lib/postgres/postgres.ts';
import { migrateAll } from '../src/queues/migrations/migrate-all.ts';
import type { BenchOptions } from './benchmarks.ts';
import { benchImport, type ImportSizes } from './data-import.ts';
import { describeMachine, load } from './machine.ts';
import { compare, percentile, perSecond, type Turn } from './measure.ts';
import { report, type Promised, type Row } from './report.ts';
import { startServers } from './servers.ts';

interface Sizes {
  readonly imports: ImportSizes;
  readonly rounds: number;
  readonly documents: number;
  readonly reads: number;
  readonly bulk: number;
  readonly listed: number;
  readonly pages: number;
  readonly entities: number;
  readonly links: number;
  readonly walks: number;
}

const fullSizes: Sizes = {
  imports: { rounds: 3, packages: undefined },
  rounds: 5,
  documents: 20_000,
  reads: 5_000,
  bulk: 1_000,
  listed: 1_000_000,
  pages: 10_000,
  entities: 500_000,
  links: 1_000_000,
  walks: 300,
};
const shortSizes: Sizes = {
  imports: { rounds: 1, packages: 3_000 },
  rounds: 1,
  documents: 500,
  reads: 500,
  bulk: 100,
  listed: 5_000,
  pages: 50,
  entities: 2_000,
  links: 4_000,
  walks: 20,
};
/** Callers at once. */
const callers = 10;
const walk = { depth: 3, limit: 100 };

const atOnce = async (count: number, work: () => Promise<unknown>): Promise<void> => {
  let left = count;
  const call = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await work();
    }
  };
  await Promise.all(Array.from({ length: callers }, call));
};

const anyOf = <T>(all: readonly T[]): T => {
  const one = all[randomInt(all.length)];
  if (one === undefined) throw new Error('there is nothing to choose from');
  return one;
};

class DataBench {
  readonly rows: Row[] = [];
  readonly #postgres: Postgres;
  readonly #plain: Pool;
  readonly #sizes: Sizes;

  constructor(postgres: Postgres, plain: Pool, sizes: Sizes) {
    this.#postgres = postgres;
    this.#plain = plain;
    this.#sizes = sizes;
  }

  async newWorkspace(name: string): Promise<string> {
    const log = createLog({ level: 'warn' });
    return (await new WorkspaceService({ postgres: this.#postgres, log }).create({ name })).id;
  }

  async findById(workspaceId: string): Promise<void> {
    const knowledge = new KnowledgeService({ postgres: this.#postgres, log: createLog({ level: 'warn' }) });
    for (let from = 0; from < this.#sizes.documents; from += 500) {
      const part = Array.from({ length: Math.min(500, this.#sizes.documents - from) }, (_, index) => ({
        sourceId: `d${from + index}`,
        title: `Document ${from + index}`,
        content: 'Warp and weft. '.repeat(60),
        tags: [`t${index % 20}`],
      }));
      await knowledge.upsertMany(workspaceId, part);
    }
    const { rows } = await this.#plain.query<{ id: string }>(
      'SELECT id FROM treadle.knowledge WHERE workspace_id = $1',
      [workspaceId],
    );
    const { reads } = this.#sizes;
    // The statement that the service runs.
    let text = '';
    await knowledgeStatement(this.#postgres, workspaceId, rows[0]?.id ?? '', (seen) => {
      text = seen;
    });
    await this.#compare(
      'findById',
      [
        {
          name: 'Treadle',
          run: () => perSecond(reads, () => atOnce(reads, () => knowledge.findById(workspaceId, anyOf(rows).id))),
        },
        {
          name: 'plain pg',
          run: () =>
            perSecond(reads, () => atOnce(reads, () => this.#plain.query(text, [workspaceId, anyOf(rows).id]))),
        },
      ],
      { of: 'ratio', atLeast: 0.8 },
    );
  }

  async bulkCreate(workspaceId: string): Promise<void> {
    const service = new UnifiedNodeService(this.#postgres);
    const { bulk } = this.#sizes;
    const inputs: readonly NodeInput[] = Array.from({ length: bulk }, (_, index) => ({
      featureType: 'spindle' as const,
      name: `Spindle ${index}`,
      data: { tags: ['bench'], spindleType: 'etl', nodes: [{ id: 'a' }, { id: 'b' }] },
    }));
    const columns = ['workspace_id', 'name', 'nodes_data', 'tags', 'spindle_type'];
    const element = (id: string) => ({ id, type: 'node', name: id, position: { x: 0, y: 0 }, data: {}, metadata: {} });
    const values = inputs.flatMap(({ name }) => [
      workspaceId,
      name,
      JSON.stringify([element('a'), element('b')]),
      ['bench'],
      'etl',
    ]);
    const places = inputs.map(
      (_, row) => `(${columns.map((__, column) => `$${row * columns.length + column + 1}`).join(', ')})`,
    );
    const text = `INSERT INTO treadle.spindles (${columns.join(', ')}) VALUES ${places.join(', ')} RETURNING *`;
    await this.#compare(
      'bulkCreate',
      [
        { name: 'Treadle', run: () => perSecond(bulk, () => service.batchCreateNodes(workspaceId, inputs)) },
        { name: 'plain pg', run: () => perSecond(bulk, () => this.#plain.query(text, values)) },
      ],
      { of: 'ratio', atLeast: 0.7 },
    );
  }

  /** Rows without triggers: what is read later is what matters here. */
  async #load(text: string, values: unknown[]): Promise<void> {
    const client = await this.#plain.connect();
    await client.query('BEGIN; SET LOCAL session_replication_role = replica');
    await client.query(text, values);
    await client.query('COMMIT');
    client.release();
  }

  async pages(workspaceId: string): Promise<void> {
    const { listed, pages } = this.#sizes;
    await this.#load(
      `INSERT INTO treadle.node_metadata (workspace_id, feature_type, entity_id, node_type, name, status, revision, created_at, updated_at)
       SELECT $1, 'event-storm', gen_random_uuid(), 'event-storm', 'Storm ' || n, 'draft', 1, now(), now() - n * interval '1 second'
       FROM generate_series(1, $2::integer) AS n`,
      [workspaceId, listed],
    );
    await this.#plain.query('VACUUM ANALYZE treadle.node_metadata');
    const queries = new NodeQueries(this.#postgres);
    const times: number[] = [];
    let cursor: string | undefined;
    for (let page = 0; page < pages; page += 1) {
      const startedAt = performance.now();
      const found = await queries.list(workspaceId, 'event-storm', {
        limit: 20,
        ...(cursor === undefined ? {} : { cursor }),
      });
      times.push(performance.now() - startedAt);
      cursor = found.nextCursor ?? undefined;
    }
    const share = Math.max(10, Math.floor(pages / 100));
    // The first pages of all are slow for another reason: code and connections are cold.
    const [first, last] = [percentile(times.slice(share, 2 * share), 0.5), percentile(times.slice(-share), 0.5)];
    this.#add('cursor page, first pages', 'ms', first);
    this.#add(`cursor page, pages up to ${pages.toLocaleString('en')}`, 'ms', last);
    this.#add('cursor page, last by first', 'times', last / first, { of: 'value', atMost: 1.5 });
  }

  async connected(workspaceId: string): Promise<void> {
    const { entities, links, walks } = this.#sizes;
    await this.#load(
      `WITH made AS (
         INSERT INTO treadle.node_metadata (workspace_id, feature_type, entity_id, node_type, name, status, revision, created_at, updated_at)
         SELECT $1, 'spindle', ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'spindle', 'Spindle ' || n, 'draft', 1, now(), now()
         FROM generate_series(1, $2::integer) AS n)
       INSERT INTO treadle.node_links (workspace_id, source_feature, source_entity_id, target_feature, target_entity_id, link_type)
       SELECT $1, 'spindle', ('00000000-0000-7000-8000-' || lpad(to_hex(1 + start), 12, '0'))::uuid,
         'spindle', ('00000000-0000-7000-8000-' || lpad(to_hex(1 + (start + step) % $2), 12, '0'))::uuid,
         (ARRAY['references', 'implements', 'documents', 'supports', 'nested'])[1 + n % 5]
       FROM (SELECT n, floor(random() * $2)::integer AS start, 1 + floor(random() * ($2 - 1))::integer AS step
         FROM generate_series(1, $3::integer) AS n) AS drawn
       ON CONFLICT DO NOTHING`,
      [workspaceId, entities, links],
    );
    await this.#plain.query('VACUUM ANALYZE treadle.node_metadata, treadle.node_links');
    const repository = new LinkRepository(this.#postgres.db);
    const times: number[] = [];
    let found = 0;
    for (let trial = 0; trial < walks; trial += 1) {
      const entityId = `00000000-0000-7000-8000-${(1 + randomInt(entities)).toString(16).padStart(12, '0')}`;
      const startedAt = performance.now();
      found += (await repository.getConnectedNodes(workspaceId, { featureType: 'spindle', entityId }, walk)).length;
      times.push(performance.now() - startedAt);
    }
    this.#add('connected nodes, found by a walk', 'nodes', found / walks);
    this.#add('connected nodes to depth 3, p50', 'ms', percentile(times, 0.5), { of: 'value', atMost: 20 });
    this.#add('connected nodes to depth 3, p99', 'ms', percentile(times, 0.99));
  }

  async #compare(measure: string, turns: readonly Turn[], promised: Promised): Promise<void> {
    this.rows.push({ measure, unit: '/s', standings: await compare(this.#sizes.rounds, turns), promised });
  }

  #add(measure: string, unit: string, value: number, promised?: Promised): void {
    this.rows.push({
      measure,
      unit,
      standings: [{ name: 'Treadle', value }],
      ...(promised ? { promised } : { detail: true }),
    });
  }
}

/** Hears the text of the statement by which a document is found. */
const knowledgeStatement = async (
  postgres: Postgres,
  workspaceId: string,
  id: string,
  hear: (text: string) => void,
): Promise<void> => {
  const { KnowledgeRepository } = await import('../src/domain/knowledge/repository.ts');
  const { kyselyThrough } = await import('../src/lib/postgres/kysely-through.ts');
  const heard = kyselyThrough({
    query: (text, values) => {
      hear(text);
      return postgres.query(text, values);
    },
  });
  await new KnowledgeRepository(heard).findById(workspaceId, id);
};

/** The data layer beside plain node-postgres, in a Postgres of its own. */
export const benchData = async ({ short }: BenchOptions): Promise<void> => {
  const loadBefore = load();
  const servers = await startServers();
  const machine = await describeMachine(servers);
  const log = createLog({ level: 'warn' });
  await migrateAll(servers.postgresUrl, log);
  const { postgresUrl: url } = servers;
  const postgres = new Postgres(
    { url, directUrl: url, poolSize: 20, statementTimeoutMs: 0, applicationName: 'bench' },
    log,
  );
  const plain = new Pool({ connectionString: url, max: 20 });
  const sizes = short ? shortSizes : fullSizes;
  // First, for it empties the tables.
  const imported = await benchImport(postgres, sizes.imports);
  const bench = new DataBench(postgres, plain, sizes);
  await bench.findById(await bench.newWorkspace('documents'));
  await bench.bulkCreate(await bench.newWorkspace('spindles'));
  await bench.pages(await bench.newWorkspace('pages'));
  await bench.connected(await bench.newWorkspace('graph'));
  await plain.end();
  await postgres.close();
  await servers.close();
  report({ name: 'data', short, machine, loadBefore, rows: [...bench.rows, imported] });
};
