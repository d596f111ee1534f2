import { signBits } from '../../src/domain/embeddings/sign-bits.ts';
import type { Postgres } from '../../src/lib/postgres/postgres.ts';

/** Large enough for plans to differ from reading everything. */
export interface Filled {
  readonly postgres: Postgres;
  /** The workspace that holds a small part of all rows. */
  readonly ws: string;
  /** A workspace that holds half of the documents. */
  readonly large: string;
  readonly model: string;
}

const bits = signBits(Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0));

/** Rows without the triggers, which other tests are about. */
const insert = async (postgres: Postgres, text: string, values: unknown[] = []): Promise<void> =>
  postgres.transaction(
    async (tx) => {
      await tx.query('SET LOCAL session_replication_role = replica');
      await tx.query(text, values);
    },
    { name: 'fill' },
  );

/** A year of the small workspace, and as many days of a hundred others. */
export const fillSearches = async ({ postgres, ws }: Pick<Filled, 'postgres' | 'ws'>): Promise<void> => {
  await insert(
    postgres,
    `WITH others AS (SELECT $1::uuid AS id UNION ALL SELECT gen_random_uuid() FROM generate_series(1, 100)),
       days AS (
         INSERT INTO treadle.search_days (workspace_id, day, searches, without_results, degraded, response_time_ms, response_times, closed)
         SELECT id, now() - make_interval(days => ago), 1, 0, 0, 5, '{}', ago > 3 FROM others, generate_series(0, 99) AS ago
         RETURNING workspace_id, day),
       queries AS (
         INSERT INTO treadle.search_queries (workspace_id, day, query, searches, without_results, last_at)
         SELECT workspace_id, day, 'query ' || n, 1, 0, day FROM days, generate_series(1, 3) AS n)
     INSERT INTO treadle.searches (search_id, workspace_id, day, user_id, query, normalized_query, mode, filters, result_count,
       response_time_ms, backend, degraded, searched_at)
     SELECT gen_random_uuid(), workspace_id, day, 'local', 'query', 'query', 'hybrid', '{}', 1, 5, 'postgres', false, day FROM days`,
    [ws],
  );
};

export const fillKnowledge = async ({ postgres, ws, large, model }: Filled): Promise<void> => {
  await insert(
    postgres,
    `INSERT INTO treadle.users (workspace_id, email, name)
     SELECT $1, CASE WHEN n % 2 = 0 THEN 'p' || n || '@x.example' END, 'Person ' || n FROM generate_series(1, $2::integer) AS n
     UNION ALL SELECT gen_random_uuid(), 'other' || n || '@x.example', 'Other ' || n FROM generate_series(1, 4000) AS n`,
    [ws, 40],
  );
  await insert(
    postgres,
    `INSERT INTO treadle.workspace_members (workspace_id, user_id) SELECT workspace_id, id FROM treadle.users`,
  );
  await insert(
    postgres,
    `INSERT INTO treadle.roles (workspace_id, name) SELECT CASE WHEN n = 1 THEN $1 ELSE gen_random_uuid() END, 'r' || n
    FROM generate_series(1, 2000) AS n`,
    [ws],
  );
  await insert(
    postgres,
    `INSERT INTO treadle.user_roles (workspace_id, user_id, role_id)
    SELECT u.workspace_id, u.id, r.id FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM treadle.users) AS u
    JOIN (SELECT *, row_number() OVER (ORDER BY id) AS n FROM treadle.roles) AS r USING (n)`,
  );
  for (const [table, name] of [
    ['tags', 'tag'],
    ['collections', 'collection'],
  ]) {
    await insert(
      postgres,
      `INSERT INTO treadle.${table} (workspace_id, name)
      SELECT CASE WHEN n <= 50 THEN $1 ELSE gen_random_uuid() END, '${name} ' || n FROM generate_series(1, 3000) AS n`,
      [ws],
    );
  }
  await insert(
    postgres,
    `INSERT INTO treadle.knowledge (workspace_id, title, content, status, source_id, author_id, collection_id, updated_at)
     SELECT CASE WHEN made.n <= 500 THEN $1 ELSE CASE WHEN made.n <= 10000 THEN $2 ELSE md5((made.n % 50)::text)::uuid END END, 'Title ' || made.n, 'word' || made.n % 300 || ' text',
       'published', 's' || made.n, u.id, c.id, now() - made.n * interval '1 minute'
     FROM generate_series(1, 20000) AS made (n)
     LEFT JOIN (SELECT id, row_number() OVER (ORDER BY id) AS n FROM treadle.users WHERE workspace_id = $1) AS u ON u.n = made.n % 200
     LEFT JOIN (SELECT id, row_number() OVER (ORDER BY id) AS n FROM treadle.collections WHERE workspace_id = $1) AS c ON c.n = made.n % 200`,
    [ws, large],
  );
  await insert(
    postgres,
    `INSERT INTO treadle.knowledge_tags (workspace_id, knowledge_id, tag_id)
    SELECT k.workspace_id, k.id, t.id FROM treadle.knowledge AS k JOIN treadle.tags AS t
      ON t.workspace_id = $1 AND t.name = 'tag ' || (1 + hashtext(k.id::text) % 50)`,
    [ws],
  );
  await insert(
    postgres,
    `INSERT INTO treadle.knowledge_versions (workspace_id, knowledge_id, version_number, title, content, excerpt, author_id)
    SELECT workspace_id, id, 1, title, content, excerpt, author_id FROM treadle.knowledge`,
  );
  await insert(
    postgres,
    `INSERT INTO treadle.search_documents (document_id, workspace_id, status, author_id, collection_id, created_at,
      updated_at, title, title_key, tags, names, vector)
    SELECT k.id, k.workspace_id, k.status, k.author_id, k.collection_id, k.created_at, k.updated_at, k.title, treadle.search_key(k.title),
      ARRAY['tag ' || hashtext(k.id::text) % 300], ' ' || treadle.search_key(k.title), treadle.search_vector(k.title, '', k.content)
    FROM treadle.knowledge AS k`,
  );
  await insert(
    postgres,
    `INSERT INTO treadle.embeddings (workspace_id, entity_type, entity_id, chunk_index, model, dimensions, content_hash,
      chunk_start, chunk_end, bits, vector)
    SELECT workspace_id, 'knowledge', id, 0, $1, 8, sha256(id::text::bytea), 0, 1, $2::bit varying, ARRAY[1, 0, 0, 0, 0, 0, 0, 0]::real[]
    FROM treadle.knowledge`,
    [model, bits],
  );
  await insert(
    postgres,
    `INSERT INTO treadle.pending_embeddings (workspace_id, content_hash, dimensions, bits, vector, created_at)
    SELECT $1, sha256(n::text::bytea), 8, $2::bit varying, ARRAY[1, 0, 0, 0, 0, 0, 0, 0]::real[], now() - n * interval '1 minute'
    FROM generate_series(1, 1500) AS n`,
    [ws, bits],
  );
};

export const fillNodes = async ({ postgres, ws, large }: Filled): Promise<void> => {
  const features = [
    ['function_models', 'model_id', 'function-model', 'name'],
    ['knowledge_base_sops', 'sop_id', 'knowledge-base', 'title'],
    ['event_storms', 'storm_id', 'event-storm', 'name'],
    ['spindles', 'spindle_id', 'spindle', 'name'],
  ];
  for (const [table, id, feature, name] of features) {
    const more: Readonly<Record<string, readonly [string, string]>> = {
      knowledge_base_sops: [
        ', content, category, search_keywords',
        `, 'word' || n % 500, 'category ' || n % 100, ARRAY['keyword' || n % 500]`,
      ],
      event_storms: [', domain_context', `, 'domain ' || n % 500`],
    };
    const [columns = '', values = ''] = more[table ?? ''] ?? [];
    await insert(
      postgres,
      `INSERT INTO treadle.${table} (workspace_id, ${name}${columns})
       SELECT CASE WHEN n <= 500 THEN $1 ELSE md5((n % 20)::text)::uuid END, 'Node ' || n${values} FROM generate_series(1, 10000) AS n`,
      [ws],
    );
    await insert(
      postgres,
      `INSERT INTO treadle.node_metadata (workspace_id, feature_type, entity_id, node_type, name, revision, created_at, updated_at)
       SELECT workspace_id, $1, ${id}, $1, ${name}, 1, now(), now() - row_number() OVER () * interval '1 second' FROM treadle.${table}`,
      [feature],
    );
    await insert(
      postgres,
      `INSERT INTO treadle.node_events (workspace_id, event_type, feature_type, entity_id, revision, data)
       SELECT workspace_id, 'node.created', $1, ${id}, 1, to_jsonb(made) FROM treadle.${table} AS made`,
      [feature],
    );
  }
  await insert(
    postgres,
    `INSERT INTO treadle.node_links (workspace_id, source_feature, source_entity_id, target_feature, target_entity_id, link_type)
     SELECT a.workspace_id, 'spindle', a.spindle_id, 'spindle', b.spindle_id, 'supports'
     FROM (SELECT *, row_number() OVER (ORDER BY spindle_id) AS n FROM treadle.spindles) AS a
     JOIN (SELECT *, row_number() OVER (ORDER BY spindle_id) AS n FROM treadle.spindles) AS b ON b.n = a.n + 1`,
  );
  await insert(
    postgres,
    `INSERT INTO treadle.events (type, aggregate_id, workspace_id, occurred_on, recorded_at)
     SELECT CASE WHEN n % 1000 = 0 THEN 'test.rare' ELSE 'knowledge.updated' END, n::text,
       CASE WHEN n % 100 = 0 THEN $1::uuid ELSE $2::uuid END, now() - n * interval '1 second',
       now() - (n < 100)::integer * interval '400 days'
     FROM generate_series(1, 20000) AS n`,
    [ws, large],
  );
  await insert(
    postgres,
    `INSERT INTO treadle.event_consumers (name, types, position_xid, position_seq)
     VALUES ('filled', '{*}', pg_current_xact_id(), 9223372036854775807), ('other', '{*}', pg_current_xact_id(), 9223372036854775807)`,
  );
  await insert(
    postgres,
    `INSERT INTO treadle.event_dead_letters (consumer, event_id, event, attempts, error, failed_at, redrive)
     SELECT CASE WHEN n % 20 = 0 THEN 'filled' ELSE 'other' END, id,
       jsonb_build_object('id', id, 'type', 'test.rare', 'aggregateId', 'a', 'occurredOn', '2020-01-01T00:00:00Z'), 1, '{}',
       now() - (n < 100)::integer * interval '400 days' - n * interval '1 second', n % 50 = 0
     FROM (SELECT n, gen_random_uuid() AS id FROM generate_series(1, 20000) AS n) AS made`,
  );
  await insert(
    postgres,
    `INSERT INTO treadle.executions (workspace_id, kind, entity_id, created_at)
     SELECT workspace_id, 'spindle', spindle_id, now() FROM treadle.spindles`,
  );
  await insert(
    postgres,
    `INSERT INTO treadle.sagas (name, input, state, job_id, finished_at, workspace_id)
     SELECT 'many', '{}', 'completed', gen_random_uuid(), now() - (n < 100)::integer * interval '400 days',
       CASE WHEN n % 100 = 0 THEN $1::uuid END
     FROM generate_series(1, 20000) AS n`,
    [ws],
  );
};

/** Sessions, and users in documents, of whom one in a hundred was silent for too long. */
export const fillPresence = async (postgres: Postgres): Promise<void> => {
  await insert(
    postgres,
    `INSERT INTO treadle.sessions (id_hash, user_id, data, created_at, last_accessed_at, expires_at, ends_at)
     SELECT sha256(n::text::bytea), 'user ' || n % 1000, '{}', now(), now(), now() + (CASE n % 100 WHEN 0 THEN -1 ELSE 1 END) * interval '1 day', now() + interval '30 days'
     FROM generate_series(1, 20000) AS n`,
  );
  await insert(
    postgres,
    `INSERT INTO treadle.presence_documents (document_id, sequence, first_sequence, changed_at)
     SELECT 'document ' || n, 1000, 1, now() FROM generate_series(0, 99) AS n`,
  );
  await insert(
    postgres,
    `INSERT INTO treadle.presence_users (document_id, user_id, joined_at, joined_sequence)
     SELECT 'document ' || n % 100, 'user ' || n / 20, now(), n FROM generate_series(1, 20000) AS n ON CONFLICT DO NOTHING`,
  );
  await insert(
    postgres,
    `INSERT INTO treadle.presence_connections (document_id, user_id, socket_id, joined_at, last_seen)
     SELECT document_id, user_id, 's', now(), now() - (CASE WHEN joined_sequence % 100 = 7 THEN interval '1 hour' ELSE interval '0' END)
     FROM treadle.presence_users`,
  );
};
