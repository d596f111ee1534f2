import { afterAll, beforeAll, expect, test } from 'vitest';
import { PostgresAnalytics } from '../../src/domain/analytics/postgres/postgres-analytics.ts';
import { EmbeddingRepository } from '../../src/domain/embeddings/embedding-repository.ts';
import { VectorDatabase } from '../../src/domain/embeddings/vector-database.ts';
import { KnowledgeService } from '../../src/domain/knowledge/service.ts';
import { TagService } from '../../src/domain/knowledge/tag-service.ts';
import { ConsumerPositions } from '../../src/domain/events/consumers/consumer-positions.ts';
import { EventConsumers } from '../../src/domain/events/consumers/event-consumers.ts';
import { EventRecord } from '../../src/domain/events/postgres/event-record.ts';
import type { EventFilter } from '../../src/domain/events/types.ts';
import { EventStormRepository } from '../../src/domain/nodes/event-storm-repository.ts';
import { KnowledgeBaseRepository } from '../../src/domain/nodes/knowledge-base-repository.ts';
import { LinkRepository } from '../../src/domain/nodes/link-repository.ts';
import { NodeQueries } from '../../src/domain/nodes/node-queries.ts';
import { NodeVectors } from '../../src/domain/nodes/node-vectors.ts';
import { SpindleRepository } from '../../src/domain/nodes/spindle-repository.ts';
import { PostgresSearch } from '../../src/domain/search/postgres/postgres-search.ts';
import type { BackendQuery } from '../../src/domain/search/search-port.ts';
import { PostgresPresenceStore } from '../../src/domain/presence/postgres-presence-store.ts';
import { PostgresSessionStore } from '../../src/domain/sessions/postgres-session-store.ts';
import { SagaService } from '../../src/domain/sagas/service.ts';
import { UserService } from '../../src/domain/users/service.ts';
import { WorkspaceService } from '../../src/domain/workspaces/service.ts';
import { deleteSearchesBeyond } from '../../src/jobs/maintenance/delete-searches-beyond.ts';
import { pruneExpired } from '../../src/jobs/maintenance/prune-expired.ts';
import { loadConfig } from '../../src/lib/config/load-config.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { Postgres } from '../../src/lib/postgres/postgres.ts';
import type { PreparingQueryable } from '../../src/lib/postgres/queryable.ts';
import { useDatabase } from '../services/database.ts';
import { fillKnowledge, fillNodes, fillPresence, fillSearches } from './fill-tables.ts';

// For each index of the data layer a call of Treadle that uses it, as the server's own plans tell, in tables of which the
// workspace is a small part.

const database = useDatabase();
const log = createLog({ level: 'silent' });
const embeddings = new EmbeddingRepository('test', 8);
const plans: string[] = [];
let explained: Postgres;
let ws = '';
let large = '';

/** Has the plan of every statement told to its connection, those inside of functions and triggers too. */
const openExplained = async (): Promise<Postgres> => {
  const settings = [
    'session_preload_libraries = auto_explain',
    'auto_explain.log_min_duration = 0',
    'auto_explain.log_level = notice',
    'auto_explain.log_nested_statements = on',
    'auto_explain.log_format = json',
  ];
  const name = new URL(database.url).pathname.slice(1);
  for (const setting of settings) await database.query(`ALTER DATABASE ${name} SET ${setting}`);
  const { url } = database;
  const postgres = new Postgres(
    { url, directUrl: url, poolSize: 4, statementTimeoutMs: 30_000, applicationName: 'explained' },
    log,
  );
  postgres.pool.on('connect', (client) => {
    client.on('notice', ({ message }) => plans.push(message ?? ''));
  });
  return postgres;
};

beforeAll(async () => {
  const { postgres } = database;
  const workspaces = new WorkspaceService({ postgres, log });
  ws = (await workspaces.create({ name: 'small' })).id;
  large = (await workspaces.create({ name: 'large' })).id;
  await fillKnowledge({ postgres, ws, large, model: embeddings.model });
  await fillNodes({ postgres, ws, large, model: embeddings.model });
  await fillSearches({ postgres, ws });
  await fillPresence(postgres);
  await database.query('VACUUM ANALYZE');
  explained = await openExplained();
});
afterAll(() => explained.close());

const first = async (text: string): Promise<string> => {
  const [row] = await database.query<{ id: string }>(text, [ws]);
  return row?.id ?? '';
};
const anAuthor = (): Promise<string> =>
  first('SELECT author_id AS id FROM treadle.knowledge WHERE workspace_id = $1 AND author_id IS NOT NULL LIMIT 1');
const aCollection = (): Promise<string> =>
  first(
    'SELECT collection_id AS id FROM treadle.knowledge WHERE workspace_id = $1 AND collection_id IS NOT NULL LIMIT 1',
  );
const aSpindle = (): Promise<string> =>
  first('SELECT spindle_id AS id FROM treadle.spindles WHERE workspace_id = $1 LIMIT 1');
const listed = (more: Partial<BackendQuery>): BackendQuery => ({
  workspaceId: ws,
  rankedBy: { kind: 'listing' },
  filters: {},
  sort: 'relevance',
  limit: 20,
  offset: 0,
  ...more,
});

const knowledge = (): KnowledgeService => new KnowledgeService({ postgres: explained, log });
const users = (): UserService => new UserService({ postgres: explained, log });
const search = (): PostgresSearch => new PostgresSearch(explained);
const sops = (): KnowledgeBaseRepository =>
  new KnowledgeBaseRepository(explained.db, new NodeVectors(new VectorDatabase(explained, log)));
const queries = (): NodeQueries => new NodeQueries(explained);
const sagas = (): SagaService =>
  new SagaService({ postgres: explained, definitions: [], enqueue: () => Promise.reject(new Error('none')) });
/** Prepared statements have a pool of their own. */
const unprepared = (): PreparingQueryable => ({
  query: (text, values) => explained.query(text, values),
  queryPrepared: (text, values) => explained.query(text, values),
});
const presence = (): PostgresPresenceStore =>
  new PostgresPresenceStore(unprepared(), { ttlMs: 1_800_000, mostConnections: 50 });
const sessions = (): PostgresSessionStore =>
  new PostgresSessionStore(explained, { ttlMs: 86_400_000, maxAgeMs: 2_592_000_000, touchAfterMs: 60_000 });
const events = () => {
  const record = new EventRecord(explained);
  return { list: (filter: EventFilter = {}) => record.list(filter, {}) };
};
const consumers = (): EventConsumers => new EventConsumers(explained);
/** Plans of a statement and of what follows from it, which is taken back. */
const removed = (text: string, values: unknown[]): Promise<unknown> =>
  explained
    .transaction(async (tx) => {
      await tx.query(text, values);
      throw new Error('taken back');
    })
    .catch(() => undefined);
const withoutWorkspace = (): Promise<unknown> => removed('DELETE FROM treadle.workspaces WHERE id = $1', [ws]);
const pruned = (): Promise<unknown> => pruneExpired(explained, loadConfig({}).retention, AbortSignal.timeout(30_000));

const uses: readonly (readonly [index: string, what: string, call: () => Promise<unknown>])[] = [
  ['knowledge_latest', 'a page of documents', () => knowledge().findByWorkspace(ws)],
  ['knowledge_author', 'documents of an author', async () => knowledge().count(ws, { authorId: await anAuthor() })],
  [
    'knowledge_collection',
    'documents of a collection',
    async () => knowledge().count(ws, { collectionId: await aCollection() }),
  ],
  ['knowledge_source_id_key', 'a document by its source', () => knowledge().count(ws, { sourceId: 's7' })],
  [
    'knowledge_tags_tag',
    'the tags of a workspace with their counts',
    () => new TagService({ postgres: explained }).findMany(ws),
  ],
  ['users_by_email', 'authors by email', () => users().ensureAuthors(ws, ['P <p2@x.example>'])],
  ['users_name_key', 'authors by name', () => users().ensureAuthors(ws, ['Person 1'])],
  ['users_email_key', 'an account by email', () => users().findByEmail('a@x.example')],
  ['users_email_key', 'a page of accounts', () => users().findMany()],
  ['workspace_members_user', 'what a user has written', async () => users().getUserStats(await anAuthor())],
  [
    'user_roles_role',
    'who holds a role that is removed',
    () => removed('DELETE FROM treadle.roles WHERE id IN (SELECT role_id FROM treadle.user_roles LIMIT 1)', []),
  ],
  ['search_documents_latest', 'what changed last', () => search().search(listed({}))],
  [
    'search_documents_vector',
    'a search by words',
    () => search().search(listed({ workspaceId: large, rankedBy: { kind: 'words', words: 'word7' } })),
  ],
  ['search_documents_tags', 'a search for a tag', () => search().search(listed({ filters: { tags: ['tag 7'] } }))],
  ['search_documents_names', 'a title as it is typed', () => search().suggest(ws, 'title 77')],
  [
    'embeddings_workspace',
    'the nearest chunks',
    () =>
      embeddings.nearest(explained, {
        workspaceId: ws,
        entityType: 'knowledge',
        vector: Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0),
        limit: 5,
      }),
  ],
  ['embeddings_hash', 'vectors that are there', () => embeddings.storedHashes(explained, ws, [Buffer.alloc(32)])],
  ['pending_embeddings_created', 'vectors kept for a day', () => embeddings.dropPending(explained, ws, [])],
  ['node_metadata_latest', 'a page of nodes', () => queries().list(ws, 'spindle')],
  ['knowledge_base_sops_words', 'SOPs by their words', () => sops().searchSOPs(ws, 'word7')],
  ['knowledge_base_sops_keywords', 'SOPs by a keyword', () => sops().searchSOPs(ws, 'keyword7')],
  ['knowledge_base_sops_category', 'SOPs of a category', () => sops().getSOPsByCategory(ws, 'category 7')],
  [
    'event_storms_domain',
    'storms of a domain',
    () => new EventStormRepository(explained.db).getEventStormByDomain(ws, 'domain 7'),
  ],
  [
    'executions_latest',
    'the history of a spindle',
    async () => new SpindleRepository(explained.db).getSpindleExecutionHistory(ws, await aSpindle()),
  ],
  [
    'node_links_target',
    'the links of a node',
    async () =>
      new LinkRepository(explained.db).getNodeLinks(ws, { featureType: 'spindle', entityId: await aSpindle() }),
  ],
  ['node_events_workspace', 'nodes made anew from their events', () => queries().rebuild(ws)],
  ['sagas_name', 'sagas of a name', () => sagas().list({ name: 'none' })],
  ['sagas_state', 'sagas in a state', () => sagas().list({ state: 'failed' })],
  ['sagas_finished', 'sagas past their retention', pruned],
  ['events_order', 'events past their retention', pruned],
  ['events_latest', 'a page of events', () => events().list()],
  ['events_type', 'a page of events of a type', () => events().list({ type: 'test.rare' })],
  ['events_workspace', 'a page of events of a workspace', () => events().list({ workspaceId: ws })],
  ['events_aggregate', 'a page of events of an aggregate', () => events().list({ aggregateId: '77' })],
  ['event_dead_letters_latest', 'a page of dead letters of a consumer', () => consumers().deadLetters('filled')],
  [
    'event_dead_letters_redrive',
    'the next dead letter to handle once more',
    () => new ConsumerPositions(explained).nextRedriven('filled'),
  ],
  ['searches_time', 'searches past their retention', pruned],
  ['search_days_day', 'counts of searches past their time', pruned],
  ['search_queries_day', 'counts of queries past their time', pruned],
  [
    'search_days_open',
    'days of searches to close',
    () => new PostgresAnalytics(explained).closeDays(AbortSignal.timeout(30_000)),
  ],
  [
    'searches_workspace',
    'searches beyond what a workspace may have',
    () => deleteSearchesBeyond(explained, 99, AbortSignal.timeout(30_000)),
  ],
  ['sessions_user', 'the sessions of a user', () => sessions().list('user 7', 100)],
  ['sessions_expiry', 'sessions past their time', pruned],
  [
    'presence_users_order',
    'a page of the users of a document',
    () => presence().users('document 7', { direction: 'next', from: 1, limit: 20 }),
  ],
  ['presence_users_user', 'the documents of a user', () => presence().documentsOf('user 7', 100)],
  [
    'presence_connections_last_seen',
    'connections past their time',
    () => presence().clean(AbortSignal.timeout(30_000)),
  ],
  ...[
    'function_models_workspace',
    'knowledge_base_sops_workspace',
    'event_storms_workspace',
    'spindles_workspace',
    'sagas_workspace',
  ].map((index) => [index, 'what goes with its workspace', withoutWorkspace] as const),
];

test.each(uses)('%s: %s', async (index, _, call) => {
  plans.length = 0;
  await call();
  const found = new Set(
    plans.flatMap((plan) => Array.from(plan.matchAll(/"Index Name": "(\w+)"/g), ([, name = '']) => name)),
  );
  expect([...found]).toContain(index);
});

test('every index of the data layer is there for one of these calls', async () => {
  const rows = await database.query<{ name: string }>(
    `SELECT c.relname AS name FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
     WHERE i.indrelid = ANY ($1::regclass[]) AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)`,
    [
      [
        'workspaces',
        'users',
        'workspace_members',
        'roles',
        'user_roles',
        'collections',
        'tags',
        'knowledge',
        'knowledge_tags',
        'knowledge_versions',
        'search_documents',
        'searches',
        'search_days',
        'search_queries',
        'embeddings',
        'pending_embeddings',
        'embedded_entities',
        'function_models',
        'knowledge_base_sops',
        'event_storms',
        'spindles',
        'node_metadata',
        'node_events',
        'node_links',
        'node_link_types',
        'ai_agents',
        'executions',
        'sagas',
        'saga_steps',
        'sessions',
        'presence_documents',
        'presence_users',
        'presence_connections',
        'presence_events',
        'events',
        'event_consumers',
        'event_dead_letters',
      ].map((table) => `treadle.${table}`),
    ],
  );
  const known = new Set(uses.map(([index]) => index));
  expect(rows.map(({ name }) => name).filter((name) => !known.has(name))).toEqual([]);
});
