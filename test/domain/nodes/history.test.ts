import { array, assert, asyncProperty, constantFrom, nat, record, stringMatching } from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BaseNode } from '../../../src/domain/nodes/types.ts';
import { useNodes } from './use-nodes.ts';

const nodes = useNodes();

describe('a change', () => {
  test('leaves an event with who, why and what, in the transaction of the change', async () => {
    const created = await nodes.service.createNode(
      nodes.here,
      { featureType: 'spindle', name: 'Nightly' },
      { actor: 'mia' },
    );
    const at = { featureType: 'spindle', entityId: created.entityId } as const;
    await nodes.service.updateNode(
      nodes.here,
      at,
      { data: { status: 'active' } },
      { actor: 'ada', changeSummary: 'Go' },
    );
    await expect(
      nodes.database.postgres.transaction(async (tx) => {
        await nodes.service.updateNode(nodes.here, at, { name: 'Never' }, { tx });
        throw new Error('rolled back');
      }),
    ).rejects.toThrow('rolled back');
    await nodes.service.deleteNode(nodes.here, at, { actor: 'ada' });
    const { items } = await nodes.queries.events(nodes.here, at);
    expect(
      items.map(({ eventType, revision, actor, changeSummary }) => [eventType, revision, actor, changeSummary]),
    ).toEqual([
      ['node.deleted', 3, 'ada', null],
      ['node.updated', 2, 'ada', 'Go'],
      ['node.created', 1, 'mia', null],
    ]);
    expect(items[1]?.data).toMatchObject({ status: 'active' });
    expect(Object.keys(items[1]?.data ?? {}).toSorted()).toEqual(['revision', 'status', 'updated_at']);
    expect((await nodes.queries.events(nodes.there, at)).items).toEqual([]);
    const [{ deleted_by } = { deleted_by: '' }] = await nodes.database.query<{ deleted_by: string }>(
      'SELECT deleted_by FROM treadle.spindles WHERE spindle_id = $1',
      [created.entityId],
    );
    expect(deleted_by).toBe('ada');
  });

  test('by plain SQL leaves one too, and a wrong revision or identity cannot be written', async () => {
    const { entityId } = await nodes.service.createNode(nodes.here, { featureType: 'event-storm', name: 'Storm' });
    await nodes.database.query(`UPDATE treadle.event_storms SET name = 'By hand', revision = 40 WHERE storm_id = $1`, [
      entityId,
    ]);
    await nodes.database.query('UPDATE treadle.event_storms SET name = name WHERE storm_id = $1', [entityId]);
    const at = { featureType: 'event-storm', entityId } as const;
    expect(await nodes.service.getNode(nodes.here, at)).toMatchObject({ name: 'By hand', revision: 2 });
    expect((await nodes.queries.events(nodes.here, at)).items).toHaveLength(2);
    await expect(
      nodes.database.query('UPDATE treadle.event_storms SET workspace_id = $2 WHERE storm_id = $1', [
        entityId,
        nodes.there,
      ]),
    ).rejects.toMatchObject({ constraint: 'event_storms_identity_fixed' });
  });
});

test('an entity is shown as it was at any time', async () => {
  const at = async (input: { name: string }) => {
    const node = await nodes.service.createNode(nodes.here, {
      featureType: 'function-model',
      ...input,
      data: { nodes: [{ id: 'a', name: 'One' }] },
    });
    return { featureType: 'function-model', entityId: node.entityId } as const;
  };
  const reference = await at({ name: 'First' });
  const states: BaseNode[] = [];
  const remember = async () => {
    const node = await nodes.service.getNode(nodes.here, reference);
    if (node) states.push(node);
  };
  await remember();
  await nodes.service.updateNode(nodes.here, reference, {
    name: 'Second',
    data: { tags: ['x'], estimatedDuration: 5 },
  });
  await remember();
  await nodes.service.updateNode(nodes.here, { ...reference, nodeId: 'a' }, { name: 'Two' });
  await remember();
  await nodes.service.deleteNode(nodes.here, reference);
  for (const state of states) {
    // A Date holds milliseconds, the event microseconds: the end of that millisecond.
    const asOf = new Date(state.updatedAt.getTime() + 1);
    const next = states[states.indexOf(state) + 1];
    if (next && next.updatedAt.getTime() <= asOf.getTime()) continue;
    expect(await nodes.service.getNodeAsOf(nodes.here, reference, asOf)).toEqual(state);
  }
  expect(await nodes.service.getNodeAsOf(nodes.here, reference, new Date())).toBeUndefined();
  expect(await nodes.service.getNodeAsOf(nodes.here, reference, new Date(0))).toBeUndefined();
  expect(await nodes.service.getNodeAsOf(nodes.there, reference, new Date())).toBeUndefined();
});

const features = ['function-model', 'knowledge-base', 'event-storm', 'spindle'] as const;

test('events replayed are the tables, and what is read is rebuilt from them', async () => {
  const workspaceId = await nodes.newWorkspace();
  const change = record({
    entity: nat(3),
    what: constantFrom('name', 'tags', 'element', 'unelement', 'delete'),
    word: stringMatching(/^[a-z]{1,8}$/),
  });
  await assert(
    asyncProperty(array(change, { maxLength: 12 }), async (changes) => {
      const made = await nodes.service.batchCreateNodes(
        workspaceId,
        features.map((featureType) => ({
          featureType,
          name: 'new',
          data: featureType === 'knowledge-base' ? { content: '' } : {},
        })),
      );
      for (const { entity, what, word } of changes) {
        const node = made[entity];
        if (!node) continue;
        const at = { featureType: node.featureType, entityId: node.entityId };
        const done = {
          name: () => nodes.service.updateNode(workspaceId, at, { name: word }),
          tags: () => nodes.service.updateNode(workspaceId, at, { data: { tags: [word] } }),
          element: () => nodes.service.createNode(workspaceId, { ...at, nodeId: word, name: word }),
          unelement: () => nodes.service.deleteNode(workspaceId, { ...at, nodeId: word }),
          delete: () => nodes.service.deleteNode(workspaceId, at),
        }[what]();
        const code = await done.then(
          () => 'done',
          (error: { readonly code: string }) => error.code,
        );
        expect(['done', 'NOT_FOUND', 'DATA_CONSISTENCY_ERROR']).toContain(code);
      }
      const differing = await nodes.database.query(
        `SELECT id FROM (
           SELECT 'function-model' AS feature, model_id AS id, to_jsonb(t) AS state FROM treadle.function_models AS t WHERE workspace_id = $1
           UNION ALL SELECT 'knowledge-base', sop_id, to_jsonb(t) FROM treadle.knowledge_base_sops AS t WHERE workspace_id = $1
           UNION ALL SELECT 'event-storm', storm_id, to_jsonb(t) FROM treadle.event_storms AS t WHERE workspace_id = $1
           UNION ALL SELECT 'spindle', spindle_id, to_jsonb(t) FROM treadle.spindles AS t WHERE workspace_id = $1) AS entity
         WHERE state IS DISTINCT FROM treadle.node_state(feature, id)`,
        [workspaceId],
      );
      expect(differing).toEqual([]);
      const read = () =>
        nodes.database.query(
          'SELECT * FROM treadle.node_metadata WHERE workspace_id = $1 ORDER BY entity_id, node_id',
          [workspaceId],
        );
      const before = await read();
      await nodes.database.query(
        `UPDATE treadle.node_metadata SET name = 'wrong', tags = '{wrong}' WHERE workspace_id = $1 AND node_id = ''`,
        [workspaceId],
      );
      expect(await nodes.queries.rebuild(workspaceId)).toBe(before.length);
      const withoutTimes = (row: Record<string, unknown>) => ({ ...row, created_at: null, updated_at: null });
      expect((await read()).map(withoutTimes)).toEqual(before.map(withoutTimes));
    }),
    { numRuns: 12 },
  );
});

test('a list has the latest change first, page by page in either direction, while others write', async () => {
  const workspaceId = await nodes.newWorkspace();
  const create = (count: number) =>
    nodes.service.batchCreateNodes(
      workspaceId,
      Array.from({ length: count }, (_, index) => ({ featureType: 'spindle' as const, name: `s${index}` })),
    );
  const made = await create(25);
  const pages: string[][] = [];
  let cursor: string | undefined;
  let back: string | null = null;
  do {
    const page = await nodes.queries.list(workspaceId, 'spindle', {
      limit: 10,
      ...(cursor === undefined ? {} : { cursor }),
    });
    pages.push(page.items.map(({ entityId }) => entityId));
    cursor = page.nextCursor ?? undefined;
    back = page.prevCursor;
    await create(1);
  } while (cursor !== undefined);
  expect(pages.flat().toSorted()).toEqual(made.map(({ entityId }) => entityId).toSorted());
  const before = await nodes.queries.list(workspaceId, 'spindle', {
    limit: 10,
    ...(back === null ? {} : { cursor: back }),
  });
  expect(before.items.map(({ entityId }) => entityId)).toEqual(pages[1]);
  const hot = { featureType: 'spindle', entityId: made[3]?.entityId ?? '' } as const;
  await nodes.service.updateNode(workspaceId, hot, { data: { status: 'active', tags: ['hot'] } });
  const only = async (filter: object) =>
    (await nodes.queries.list(workspaceId, 'spindle', filter)).items.map(({ entityId }) => entityId);
  expect(await only({ status: 'active' })).toEqual([hot.entityId]);
  expect(await only({ tag: 'hot' })).toEqual([hot.entityId]);
  expect(await only({ tag: 'hot', status: 'draft' })).toEqual([]);
  await expect(only({ order: 'name; DROP TABLE' })).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
  await expect(only({ cursor: 'x' })).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
});

test('history and nodes go with their workspace', async () => {
  const workspaceId = await nodes.newWorkspace();
  const [a, b] = await nodes.service.batchCreateNodes(workspaceId, [
    { featureType: 'spindle', name: 'a' },
    { featureType: 'function-model', name: 'b', data: { nodes: [{ id: 'x' }] } },
  ]);
  if (!a || !b) throw new Error('not made');
  await nodes.service.createLink(workspaceId, {
    source: { featureType: 'spindle', entityId: a.entityId },
    target: { featureType: 'function-model', entityId: b.entityId, nodeId: 'x' },
    linkType: 'supports',
  });
  await nodes.database.query('DELETE FROM treadle.workspaces WHERE id = $1', [workspaceId]);
  const left = ['spindles', 'function_models', 'node_metadata', 'node_links', 'node_events'].map(
    (table) => `SELECT '${table}' AS table FROM treadle.${table} WHERE workspace_id = $1`,
  );
  expect(await nodes.database.query(left.join(' UNION ALL '), [workspaceId])).toEqual([]);
});
