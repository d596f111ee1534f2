import { describe, expect, test } from 'vitest';
import type { NodeInput } from '../../../src/domain/nodes/input.ts';
import type { FeatureType } from '../../../src/domain/nodes/types.ts';
import { useNodes } from './use-nodes.ts';

const nodes = useNodes();
const count = async (): Promise<number> => {
  const [row] = await nodes.database.query<{ n: number }>(
    'SELECT count(*)::integer AS n FROM treadle.node_metadata WHERE workspace_id = $1',
    [nodes.here],
  );
  return row?.n ?? 0;
};
const mixed: readonly NodeInput[] = [
  { featureType: 'spindle', name: 'one' },
  { featureType: 'knowledge-base', name: 'two', data: { content: 'text' }, position: { x: 3, y: 4 } },
  { featureType: 'spindle', name: 'three', metadata: { a: 1 } },
];

test('a batch of all features is answered in its order, and is one statement a feature', async () => {
  const made = await nodes.service.batchCreateNodes(nodes.here, mixed, { actor: 'mia' });
  expect(
    made.map(({ name, featureType, position, metadata, revision }) => [
      name,
      featureType,
      position,
      metadata,
      revision,
    ]),
  ).toEqual([
    ['one', 'spindle', { x: 0, y: 0 }, {}, 1],
    ['two', 'knowledge-base', { x: 3, y: 4 }, {}, 1],
    ['three', 'spindle', { x: 0, y: 0 }, { a: 1 }, 1],
  ]);
  expect(made[1]?.data).toMatchObject({ content: 'text', summary: null, status: 'draft' });
  const [one, two, three] = made;
  if (!one || !two || !three) throw new Error('not made');
  const updated = await nodes.service.batchUpdateNodes(nodes.here, [
    { featureType: 'spindle', entityId: three.entityId, updates: { name: '3' }, expectedRevision: 1 },
    { featureType: 'knowledge-base', entityId: two.entityId, updates: { name: '2', data: { summary: 's' } } },
    { featureType: 'spindle', entityId: one.entityId, updates: { data: { tags: ['t'] } } },
  ]);
  expect(updated.map(({ name, revision }) => [name, revision])).toEqual([
    ['3', 2],
    ['2', 2],
    ['one', 2],
  ]);
  expect(updated[1]?.data).toMatchObject({ content: 'text', summary: 's' });
  await nodes.service.batchDeleteNodes(nodes.here, made, { actor: 'mia' });
  for (const node of made) expect(await nodes.service.getNode(nodes.here, node)).toBeUndefined();
});

test.each([
  { featureType: 'function-model', name: 'a' },
  { featureType: 'knowledge-base', name: 'a', data: { content: '' } },
  { featureType: 'event-storm', name: 'a' },
  { featureType: 'spindle', name: 'a' },
] satisfies NodeInput[])('what is read of a $featureType can be written back as it is', async (input) => {
  const { data, metadata, position, ...made } = await nodes.service.createNode(nodes.here, input);
  const back = { name: 'b', data, metadata, ...(made.featureType === 'knowledge-base' ? { position } : {}) };
  expect(await nodes.service.updateNode(nodes.here, made, back)).toMatchObject({ name: 'b', data, revision: 2 });
  expect(await nodes.service.updateNode(nodes.here, made, {})).toMatchObject({ revision: 2 });
});

const at = ({ featureType, entityId }: { featureType: FeatureType; entityId: string }) => ({ featureType, entityId });

test('batches that change the same entities in opposite orders all succeed', async () => {
  const inputs = Array.from({ length: 60 }, () => ({ featureType: 'spindle' as const, name: 'x' }));
  const made = await nodes.service.batchCreateNodes(nodes.here, inputs);
  const calls = Array.from({ length: 10 }, (_, call) =>
    nodes.service.batchUpdateNodes(
      nodes.here,
      (call % 2 === 0 ? made : made.toReversed()).map((node) => ({ ...at(node), updates: { name: `name ${call}` } })),
    ),
  );
  const answers = await Promise.all(calls);
  expect(answers[1]?.map(({ entityId }) => entityId)).toEqual(made.map(({ entityId }) => entityId).toReversed());
  await nodes.service.batchDeleteNodes(nodes.here, made.map(at));
});

describe('a batch with something wrong writes nothing:', () => {
  test('every fault is named with its place', async () => {
    const before = await count();
    const wrong = [
      { featureType: 'spindle', name: 'fine' },
      { featureType: 'spindles', name: 'x' },
      { featureType: 'spindle', name: '', data: {} },
      { featureType: 'function-model', name: 'x', data: { estimatedDuration: 'long', colour: 'red' } },
      { featureType: 'knowledge-base', name: 'no content' },
      { featureType: 'spindle', name: 'x', position: { x: 1, y: 1 } },
    ] as unknown as NodeInput[];
    await expect(nodes.service.batchCreateNodes(nodes.here, wrong)).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
      details: {
        faults: [
          { path: '[1].featureType', index: 1 },
          { path: '[2].name', index: 2 },
          { path: '[3].data.estimatedDuration', index: 3 },
          { path: '[3].data.colour', index: 3 },
          { path: '[4].content', index: 4 },
          { path: '[5].position', index: 5 },
        ],
      },
    });
    expect(await count()).toBe(before);
  });

  test('one of another revision, one that is not there, one named twice, too many', async () => {
    const made = await nodes.service.batchCreateNodes(nodes.here, mixed);
    const [one, two, three] = made;
    if (!one || !two || !three) throw new Error('not made');
    const rename = (node: typeof one, expectedRevision?: number) => ({
      featureType: node.featureType,
      entityId: node.entityId,
      updates: { name: 'new' },
      expectedRevision,
    });
    await expect(
      nodes.service.batchUpdateNodes(nodes.here, [rename(one), rename(two), rename(three, 7)]),
    ).rejects.toMatchObject({
      code: 'DATA_CONSISTENCY_ERROR',
      details: { entityId: three.entityId, expected: 7, actual: 1 },
    });
    const unknown = { ...rename(one), entityId: '00000000-0000-4000-8000-000000000000' };
    await expect(nodes.service.batchUpdateNodes(nodes.here, [rename(two), unknown])).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
    await expect(nodes.service.batchUpdateNodes(nodes.here, [rename(one), rename(one)])).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
    });
    await expect(
      nodes.service.batchDeleteNodes(nodes.here, [one, { ...three, expectedRevision: 2 }]),
    ).rejects.toMatchObject({
      code: 'DATA_CONSISTENCY_ERROR',
    });
    await expect(nodes.service.batchUpdateNodes(nodes.there, [rename(one)])).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
    const many = Array.from({ length: 1_001 }, () => ({ featureType: 'spindle' as const, name: 'x' }));
    await expect(nodes.service.batchCreateNodes(nodes.here, many)).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
    for (const node of made)
      expect(await nodes.service.getNode(nodes.here, node)).toMatchObject({ name: node.name, revision: 1 });
  });

  test('an unknown workspace', async () => {
    for (const workspaceId of ['00000000-0000-4000-8000-000000000000', 'x'])
      await expect(nodes.service.batchCreateNodes(workspaceId, mixed)).rejects.toMatchObject({
        code: 'NOT_FOUND',
        details: { entity: 'workspace' },
      });
  });
});

test('nodes of a thousand are found by index, not by reading the tables', async () => {
  await nodes.service.batchCreateNodes(
    nodes.here,
    Array.from({ length: 1_000 }, (_, index) => ({
      featureType: 'event-storm' as const,
      name: `n${index}`,
      data: { domainContext: `d${index}` },
    })),
  );
  await nodes.database.query(
    'ANALYZE treadle.event_storms, treadle.node_metadata, treadle.node_events, treadle.node_links',
  );
  const plan = async (text: string, values: unknown[]) =>
    JSON.stringify(await nodes.database.query(`EXPLAIN (FORMAT JSON) ${text}`, values));
  const id = '00000000-0000-4000-8000-000000000000';
  const latest = await plan(
    `SELECT * FROM treadle.node_metadata WHERE workspace_id = $1 AND feature_type = 'event-storm' AND node_id = '' AND deleted_at IS NULL
     ORDER BY updated_at DESC, entity_id DESC LIMIT 21`,
    [nodes.here],
  );
  expect(latest).toContain('node_metadata_latest');
  expect(latest).not.toContain('Sort');
  expect(
    await plan(
      'SELECT * FROM treadle.event_storms WHERE workspace_id = $1 AND md5(domain_context) = md5($2) AND domain_context = $2 AND deleted_at IS NULL',
      [nodes.here, 'd7'],
    ),
  ).toContain('event_storms_domain');
  expect(
    await plan(
      `SELECT * FROM treadle.node_events WHERE feature_type = 'event-storm' AND entity_id = $1 ORDER BY revision`,
      [id],
    ),
  ).toContain('node_events_revision_key');
});
