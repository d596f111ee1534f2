import { describe, expect, test } from 'vitest';
import { useNodes } from './use-nodes.ts';

const nodes = useNodes();
const nobody = '00000000-0000-4000-8000-000000000000';

describe('a function model', () => {
  test('is created with its defaults, read in its workspace only, and changed field by field', async () => {
    const created = await nodes.models.createFunctionModel(nodes.here, { name: 'Onboarding' });
    expect(created).toMatchObject({
      name: 'Onboarding',
      description: null,
      version: '1.0.0',
      status: 'draft',
      nodes: [],
      edges: [],
      viewport: { x: 0, y: 0, zoom: 1 },
      tags: [],
      permissions: {},
      revision: 1,
    });
    expect(await nodes.models.getFunctionModel(nodes.here, created.modelId)).toEqual(created);
    expect(await nodes.models.getFunctionModel(nodes.there, created.modelId)).toBeUndefined();
    const updated = await nodes.models.updateFunctionModel(nodes.here, created.modelId, {
      status: 'active',
      estimatedDuration: 90,
      tags: ['hr', 'people'],
    });
    expect(updated).toMatchObject({
      name: 'Onboarding',
      status: 'active',
      estimatedDuration: 90,
      tags: ['hr', 'people'],
      revision: 2,
    });
    expect(updated.updatedAt.getTime()).toBeGreaterThanOrEqual(created.updatedAt.getTime());
    expect(updated.lastSavedAt.getTime()).toBeGreaterThanOrEqual(created.lastSavedAt.getTime());
  });

  test('gets, changes and loses nodes, with the edges at them', async () => {
    const { modelId } = await nodes.models.createFunctionModel(nodes.here, {
      name: 'Order',
      nodes: [{ id: 'a', name: 'Receive' }, { id: 'b' }],
      edges: [{ id: 'ab', source: 'a', target: 'b' }],
    });
    const added = await nodes.models.addNodeToFunctionModel(nodes.here, modelId, {
      id: 'c',
      type: 'decision',
      data: { rule: 1 },
    });
    expect(added.nodes.map(({ id, type, name }) => [id, type, name])).toEqual([
      ['a', 'node', 'Receive'],
      ['b', 'node', 'b'],
      ['c', 'decision', 'c'],
    ]);
    const changed = await nodes.models.updateNodeInFunctionModel(nodes.here, modelId, {
      nodeId: 'b',
      patch: { name: 'Pack', position: { x: 10, y: -2.5 } },
    });
    expect(changed.nodes[1]).toMatchObject({ id: 'b', name: 'Pack', position: { x: 10, y: -2.5 }, type: 'node' });
    const left = await nodes.models.removeNodeFromFunctionModel(nodes.here, modelId, { nodeId: 'a' });
    expect(left).toMatchObject({ edges: [], revision: 4 });
    expect(await nodes.models.getFunctionModelNodes(nodes.here, modelId)).toEqual(left.nodes);
    expect(await nodes.models.getFunctionModelWithNodes(nodes.here, modelId)).toEqual(left);
    expect(await nodes.models.getFunctionModelNodes(nodes.here, nobody)).toBeUndefined();
  });

  test('has each node once, and says which node is missing', async () => {
    const { modelId } = await nodes.models.createFunctionModel(nodes.here, { name: 'x', nodes: [{ id: 'a' }] });
    await expect(nodes.models.addNodeToFunctionModel(nodes.here, modelId, { id: 'a' })).rejects.toMatchObject({
      code: 'DATA_CONSISTENCY_ERROR',
      details: { entity: 'node', entityId: 'a' },
    });
    const missing = { code: 'NOT_FOUND', details: { entity: 'node', entityId: 'z' } };
    await expect(
      nodes.models.updateNodeInFunctionModel(nodes.here, modelId, { nodeId: 'z', patch: {} }),
    ).rejects.toMatchObject(missing);
    await expect(nodes.models.removeNodeFromFunctionModel(nodes.here, modelId, { nodeId: 'z' })).rejects.toMatchObject(
      missing,
    );
  });

  test('that was deleted is as if it were not there', async () => {
    const { modelId } = await nodes.models.createFunctionModel(nodes.here, { name: 'Old' });
    await nodes.models.deleteFunctionModel(nodes.here, modelId, { expectedRevision: 1 });
    expect(await nodes.models.getFunctionModel(nodes.here, modelId)).toBeUndefined();
    const gone = { code: 'NOT_FOUND', details: { entity: 'function-model', entityId: modelId } };
    await expect(nodes.models.updateFunctionModel(nodes.here, modelId, { name: 'x' })).rejects.toMatchObject(gone);
    await expect(nodes.models.deleteFunctionModel(nodes.here, modelId)).rejects.toMatchObject(gone);
    await expect(nodes.models.addNodeToFunctionModel(nodes.here, modelId, { id: 'a' })).rejects.toMatchObject(gone);
  });

  test('changed two hundred times at once keeps one change a revision', async () => {
    const { modelId } = await nodes.models.createFunctionModel(nodes.here, { name: 'Race' });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 200 }, (_, index) =>
        nodes.models.updateFunctionModel(nodes.here, modelId, { description: String(index) }, { expectedRevision: 1 }),
      ),
    );
    const won = outcomes.filter(({ status }) => status === 'fulfilled');
    const lost = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
    expect(won).toHaveLength(1);
    expect(lost).toHaveLength(199);
    for (const error of lost)
      expect(error).toMatchObject({ code: 'DATA_CONSISTENCY_ERROR', status: 409, details: { expected: 1, actual: 2 } });
    const winner = outcomes.findIndex(({ status }) => status === 'fulfilled');
    expect(await nodes.models.getFunctionModel(nodes.here, modelId)).toMatchObject({
      revision: 2,
      description: String(winner),
    });
  });
});

describe('an SOP', () => {
  test('is written, found by words, keywords and category, and read without a new revision', async () => {
    const create = (title: string, more: object = {}) =>
      nodes.sops.createSOP(nodes.here, { title, content: 'Turn the valve slowly.', category: 'plant', ...more });
    const shut = await create('Shutting down the boiler', {
      searchKeywords: ['hot-work'],
      summary: 'Before maintenance',
    });
    const start = await create('Starting the boiler', { content: 'Open the valves.', readTime: 5 });
    await create('Coffee', { content: 'Press the button.', category: 'kitchen' });
    await nodes.sops.createSOP(nodes.there, { title: 'Boiler of another workspace', content: 'boiler valve' });
    const titles = async (query: string) => (await nodes.sops.searchSOPs(nodes.here, query)).map(({ title }) => title);
    expect(await titles('boiler')).toEqual(expect.arrayContaining([shut.title, start.title]));
    expect(await titles('maintenance valves')).toEqual([shut.title]);
    expect(await titles('hot-work')).toEqual([shut.title]);
    expect(await titles('100% tea_')).toEqual([]);
    expect((await nodes.sops.getSOPsByCategory(nodes.here, 'plant')).map(({ title }) => title)).toEqual([
      shut.title,
      start.title,
    ]);
    await nodes.sops.recordView(nodes.here, shut.sopId);
    const read = await nodes.sops.getSOP(nodes.here, shut.sopId);
    expect(read).toMatchObject({ revision: 1, updatedAt: shut.updatedAt, searchKeywords: ['hot-work'] });
    expect(read?.lastViewedAt).toBeInstanceOf(Date);
    const updated = await nodes.sops.updateSOP(nodes.here, shut.sopId, {
      position: { x: 1, y: 2 },
      status: 'published',
    });
    expect(updated).toMatchObject({ position: { x: 1, y: 2 }, status: 'published', revision: 2 });
    await nodes.sops.deleteSOP(nodes.here, shut.sopId);
    expect(await titles('boiler')).toEqual([start.title]);
  });

  test('gets, changes and loses nodes', async () => {
    const { sopId } = await nodes.sops.createSOP(nodes.here, { title: 'Steps', content: '' });
    await nodes.sops.addNodeToKnowledgeBase(nodes.here, sopId, { id: 'a', type: 'step' });
    const changed = await nodes.sops.updateNodeInKnowledgeBase(nodes.here, sopId, {
      nodeId: 'a',
      patch: { name: 'First' },
    });
    expect(changed.nodes).toMatchObject([{ id: 'a', type: 'step', name: 'First' }]);
    expect((await nodes.sops.removeNodeFromKnowledgeBase(nodes.here, sopId, { nodeId: 'a' })).nodes).toEqual([]);
  });
});

test('an event storm is found by its whole domain, and shows its events and aggregates', async () => {
  const domain = `Billing ${'and more '.repeat(1_000)}`;
  const created = await nodes.storms.createEventStorm(nodes.here, {
    name: 'Billing',
    domainContext: domain,
    timeHorizon: 'a month',
    nodes: [
      { id: 'sent', type: 'event' },
      { id: 'send', type: 'command' },
    ],
  });
  await nodes.storms.createEventStorm(nodes.here, { name: 'Other', domainContext: domain.slice(1) });
  expect((await nodes.storms.getEventStormByDomain(nodes.here, domain)).map(({ stormId }) => stormId)).toEqual([
    created.stormId,
  ]);
  expect(await nodes.storms.getEventStormByDomain(nodes.there, domain)).toEqual([]);
  expect((await nodes.storms.getEventStormEvents(nodes.here, created.stormId)).map(({ id }) => id)).toEqual(['sent']);
  await expect(nodes.storms.getEventStormEvents(nodes.here, nobody)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  const updated = await nodes.storms.updateEventStormAggregates(nodes.here, created.stormId, [
    { id: 'invoice', size: 3 },
  ]);
  expect(updated).toMatchObject({ aggregates: [{ id: 'invoice', size: 3 }], revision: 2 });
  expect(await nodes.storms.getEventStorm(nodes.here, created.stormId)).toEqual(updated);
  expect(await nodes.storms.updateEventStorm(nodes.here, created.stormId, { name: 'Invoices' })).toMatchObject({
    name: 'Invoices',
  });
  await nodes.storms.deleteEventStorm(nodes.here, created.stormId);
  expect(await nodes.storms.getEventStorm(nodes.here, created.stormId)).toBeUndefined();
});

test('a spindle has a status and a history of its runs', async () => {
  const { spindleId } = await nodes.spindles.createSpindle(nodes.here, { name: 'Nightly', spindleType: 'etl' });
  expect(await nodes.spindles.updateSpindleStatus(nodes.here, spindleId, 'active')).toMatchObject({ status: 'active' });
  expect(await nodes.spindles.updateSpindle(nodes.here, spindleId, { complexityLevel: 'high' })).toMatchObject({
    complexityLevel: 'high',
    spindleType: 'etl',
  });
  await nodes.database.query(
    `INSERT INTO treadle.executions (workspace_id, kind, entity_id, status, result, created_at)
     VALUES ($1, 'spindle', $2, 'failed', NULL, now() - interval '1 day'), ($1, 'spindle', $2, 'completed', '{"rows": 3}', now())`,
    [nodes.here, spindleId],
  );
  expect(await nodes.spindles.getSpindleExecutionHistory(nodes.here, spindleId)).toMatchObject([
    { status: 'completed', result: { rows: 3 } },
    { status: 'failed', result: null },
  ]);
  expect(await nodes.spindles.getSpindleExecutionHistory(nodes.there, spindleId)).toEqual([]);
  expect(await nodes.spindles.getSpindle(nodes.here, spindleId)).toMatchObject({ name: 'Nightly', revision: 3 });
  await nodes.spindles.deleteSpindle(nodes.here, spindleId);
  expect(await nodes.spindles.getSpindle(nodes.here, spindleId)).toBeUndefined();
});

test('a node has one agent at most, which goes with it', async () => {
  const { modelId } = await nodes.models.createFunctionModel(nodes.here, { name: 'With agent', nodes: [{ id: 'a' }] });
  const node = { featureType: 'function-model', entityId: modelId, nodeId: 'a' } as const;
  const agent = await nodes.agents.createAIAgent(nodes.here, node, { name: 'Helper', tools: ['search'] });
  expect(agent).toMatchObject({
    name: 'Helper',
    tools: ['search'],
    capabilities: {},
    isEnabled: true,
    instructions: null,
  });
  await expect(nodes.agents.createAIAgent(nodes.here, node, { name: 'Second' })).rejects.toMatchObject({
    code: 'DATA_CONSISTENCY_ERROR',
  });
  await expect(nodes.agents.createAIAgent(nodes.here, { ...node, nodeId: 'z' }, { name: 'x' })).rejects.toMatchObject({
    code: 'NOT_FOUND',
  });
  expect(await nodes.agents.updateAIAgent(nodes.here, node, { isEnabled: false })).toMatchObject({
    name: 'Helper',
    isEnabled: false,
  });
  expect(await nodes.agents.getAIAgent(nodes.here, node)).toMatchObject({ isEnabled: false });
  expect(await nodes.agents.getAIAgent(nodes.there, node)).toBeUndefined();
  await nodes.agents.deleteAIAgent(nodes.here, node);
  await expect(nodes.agents.deleteAIAgent(nodes.here, node)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await nodes.agents.createAIAgent(nodes.here, node, { name: 'Again' });
  await nodes.models.removeNodeFromFunctionModel(nodes.here, modelId, { nodeId: 'a' });
  expect(await nodes.agents.getAIAgent(nodes.here, node)).toBeUndefined();
});

describe('is refused with the field named:', () => {
  test.each([
    ['no name', {}, 'name'],
    ['a blank name', { name: ' ' }, 'name'],
    ['a long name', { name: 'x'.repeat(256) }, 'name'],
    ['NUL', { name: 'x', description: 'a\0b' }, 'description'],
    ['an unknown status', { name: 'x', status: 'gone' }, 'status'],
    ['an unknown field', { name: 'x', deleted_at: null }, 'deleted_at'],
    ['a node twice', { name: 'x', nodes: [{ id: 'a' }, { id: 'a' }] }, 'nodes'],
    ['a node without an id', { name: 'x', nodes: [{}] }, 'nodes[0].id'],
    [
      'a position that is none',
      { name: 'x', nodes: [{ id: 'a', position: { x: Number.NaN, y: 0 } }] },
      'nodes[0].position.x',
    ],
    ['a negative duration', { name: 'x', estimatedDuration: -1 }, 'estimatedDuration'],
  ])('%s', async (_, input, path) => {
    await expect(nodes.models.createFunctionModel(nodes.here, input as never)).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
      details: { faults: expect.arrayContaining([expect.objectContaining({ path })]) },
    });
  });
});
