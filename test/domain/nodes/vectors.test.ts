import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { useNodes } from './use-nodes.ts';

const on = useNodes();
const sop = async (title: string): Promise<string> =>
  (await on.sops.createSOP(on.here, { title, content: 'text' })).sopId;
const found = async () =>
  (await on.vectors.searchNodes(on.here, 'knowledge-base', [1, 0])).map(({ node }) => node.nodeId ?? node.entityId);
const kept = async (): Promise<number> =>
  (await on.database.query<{ kept: number }>('SELECT count(*)::integer AS kept FROM treadle.embeddings'))[0]?.kept ?? 0;

test('the vector of an SOP is found, replaced, and goes when the SOP or its element is deleted', async () => {
  const [first, second] = [await sop('first'), await sop('second')];
  await on.sops.addNodeToKnowledgeBase(on.here, first, { id: 'step/1' });
  await on.sops.updateVectorEmbedding(on.here, first, [0, 1]);
  await on.sops.updateVectorEmbedding(on.here, second, [1, 1]);
  const element = { featureType: 'knowledge-base', entityId: first.toUpperCase(), nodeId: 'step/1' } as const;
  await on.vectors.updateVectorEmbedding(on.here, element, [1, 0]);
  expect(await found()).toEqual(['step/1', second, first]);
  await on.sops.updateVectorEmbedding(on.here, first, [1, 0.1]);
  expect(await found()).toEqual(['step/1', first, second]);
  await on.sops.updateSOP(on.here, first, { title: 'changed' });
  expect(await found()).toHaveLength(3);
  await on.sops.removeNodeFromKnowledgeBase(on.here, first, { nodeId: 'step/1' });
  expect(await found()).toEqual([first, second]);
  await on.sops.deleteSOP(on.here, first);
  expect(await found()).toEqual([second]);
  await on.database.query('DELETE FROM treadle.knowledge_base_sops WHERE sop_id = $1', [second]);
  expect(await kept()).toBe(0);
});

test('the vectors of an entity’s elements go with the entity, and of all nodes with their workspace', async () => {
  const workspace = await on.newWorkspace();
  const { modelId } = await on.models.createFunctionModel(workspace, {
    name: 'model',
    nodes: [{ id: 'a' }, { id: 'b' }],
  });
  const { stormId } = await on.storms.createEventStorm(workspace, { name: 'storm' });
  for (const nodeId of ['a', 'b']) {
    await on.vectors.updateVectorEmbedding(
      workspace,
      { featureType: 'function-model', entityId: modelId, nodeId },
      [1],
    );
  }
  await on.vectors.updateVectorEmbedding(workspace, { featureType: 'event-storm', entityId: stormId }, [1, 2, 3]);
  expect(await kept()).toBe(3);
  await on.models.deleteFunctionModel(workspace, modelId);
  expect(await kept()).toBe(1);
  await on.database.query('DELETE FROM treadle.workspaces WHERE id = $1', [workspace]);
  expect(await kept()).toBe(0);
});

test('only nodes that are there have vectors, and only vectors of one length', async () => {
  const id = await sop('one');
  const set = (workspaceId: string, entityId: string, vector: readonly number[], nodeId?: string) =>
    on.vectors.updateVectorEmbedding(workspaceId, { featureType: 'knowledge-base', entityId, nodeId }, vector);
  await set(on.here, id, [1, 0]);
  for (const [workspaceId, entityId, nodeId] of [
    [on.there, id],
    [on.here, randomUUID()],
    [on.here, id, 'no-element'],
    ['x', id],
  ] as const) {
    await expect(set(workspaceId, entityId, [1, 0], nodeId)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  }
  await expect(set(on.here, id, [1])).rejects.toMatchObject({ details: { faults: [{ path: 'vector' }] } });
  await on.sops.deleteSOP(on.here, id);
  await expect(on.sops.updateVectorEmbedding(on.here, id, [1, 0])).rejects.toMatchObject({ code: 'NOT_FOUND' });
  const other = await sop('other');
  await on.sops.updateVectorEmbedding(on.here, other, [1, 0]);
  const node = { featureType: 'knowledge-base', entityId: other } as const;
  expect([
    await on.vectors.deleteVectorEmbedding(on.here, node),
    await on.vectors.deleteVectorEmbedding(on.here, node),
  ]).toEqual([true, false]);
});
