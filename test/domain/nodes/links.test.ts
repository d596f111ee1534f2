import { assert, asyncProperty, integer, nat, tuple, uniqueArray } from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { NodeReference } from '../../../src/domain/nodes/types.ts';
import { useNodes } from './use-nodes.ts';

const nodes = useNodes();

const model = async (name: string, workspaceId = nodes.here): Promise<NodeReference> => {
  const { modelId } = await nodes.models.createFunctionModel(workspaceId, { name, nodes: [{ id: 'a' }] });
  return { featureType: 'function-model', entityId: modelId };
};
const spindle = async (name: string): Promise<NodeReference> => {
  const { spindleId } = await nodes.spindles.createSpindle(nodes.here, { name });
  return { featureType: 'spindle', entityId: spindleId };
};
const link = (source: NodeReference, target: NodeReference, linkType = 'implements') =>
  nodes.service.createLink(nodes.here, { source, target, linkType }, { actor: 'mia' });

test('there are five types of links, with colours and icons', async () => {
  expect(
    (await nodes.links.linkTypes()).map(({ typeName, color, icon, isBidirectional }) => [
      typeName,
      color,
      icon,
      isBidirectional,
    ]),
  ).toEqual([
    ['references', '#3B82F6', 'link', true],
    ['implements', '#10B981', 'check-circle', false],
    ['documents', '#F59E0B', 'file-text', false],
    ['supports', '#8B5CF6', 'shield', false],
    ['nested', '#EF4444', 'layers', false],
  ]);
});

describe('a link', () => {
  test('has the colour of its type or its own, and shows at both ends', async () => {
    const [from, to] = [await model('From'), await spindle('To')];
    const created = await link({ ...from, nodeId: 'a' }, to);
    expect(created).toMatchObject({
      source: { ...from, nodeId: 'a' },
      target: to,
      linkStrength: 1,
      color: '#10B981',
      isBidirectional: false,
      createdBy: 'mia',
      revision: 1,
    });
    const own = await nodes.service.createLink(nodes.here, {
      source: from,
      target: to,
      linkType: 'references',
      linkStrength: 0.25,
      visualProperties: { color: '#000000' },
    });
    expect(own).toMatchObject({ color: '#000000', linkStrength: 0.25, isBidirectional: true });
    const idsAt = async (reference: NodeReference) =>
      (await nodes.links.getNodeLinks(nodes.here, reference)).map(({ linkId }) => linkId);
    expect(await idsAt(from)).toEqual([own.linkId, created.linkId]);
    expect(await idsAt({ ...from, nodeId: 'a' })).toEqual([created.linkId]);
    expect(await idsAt(to)).toEqual([own.linkId, created.linkId]);
    expect(await nodes.links.getNodeLinks(nodes.there, from)).toEqual([]);
    expect(await nodes.links.getNodeLink(nodes.here, own.linkId)).toEqual(own);
    expect(await nodes.links.getNodeLink(nodes.there, own.linkId)).toBeUndefined();
    await nodes.service.removeLink(nodes.here, own.linkId);
    expect(await idsAt(from)).toEqual([created.linkId]);
    await expect(nodes.service.removeLink(nodes.here, own.linkId)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('goes with the entity or the element it is at, and its end is kept as an event', async () => {
    const [from, to] = [await model('Short-lived'), await spindle('Stays')];
    const atElement = await link({ ...from, nodeId: 'a' }, to);
    const atEntity = await link(from, to);
    await nodes.models.removeNodeFromFunctionModel(nodes.here, from.entityId, { nodeId: 'a' });
    expect((await nodes.links.getNodeLinks(nodes.here, to)).map(({ linkId }) => linkId)).toEqual([atEntity.linkId]);
    await nodes.service.deleteNode(nodes.here, from, { actor: 'ada' });
    expect(await nodes.links.getNodeLinks(nodes.here, to)).toEqual([]);
    const events = await nodes.database.query(
      `SELECT event_type, actor FROM treadle.node_events WHERE feature_type = 'link' AND entity_id = ANY ($1) ORDER BY entity_id, revision`,
      [[atElement.linkId, atEntity.linkId].toSorted()],
    );
    expect(events).toEqual([
      { event_type: 'link.created', actor: 'mia' },
      { event_type: 'link.removed', actor: null },
      { event_type: 'link.created', actor: 'mia' },
      { event_type: 'link.removed', actor: 'ada' },
    ]);
  });

  test('is refused to itself, to what is not there, of an unknown type, and twice', async () => {
    const [from, to, elsewhere] = [await model('From'), await spindle('To'), await model('Elsewhere', nodes.there)];
    const gone = await model('Gone');
    await nodes.service.deleteNode(nodes.here, gone);
    const fault = (path: string) => ({
      code: 'VALIDATION_ERROR',
      details: { faults: [expect.objectContaining({ path })] },
    });
    await expect(link(from, from)).rejects.toMatchObject(fault('target'));
    await expect(link({ ...from, nodeId: 'a' }, { ...from, nodeId: 'a' })).rejects.toMatchObject(fault('target'));
    await expect(link(from, { ...from, entityId: from.entityId.toUpperCase() })).rejects.toMatchObject(fault('target'));
    await expect(link(from, { ...to, entityId: from.entityId })).rejects.toMatchObject(fault('target'));
    await expect(link({ ...from, nodeId: 'z' }, to)).rejects.toMatchObject(fault('source'));
    await expect(link(from, elsewhere)).rejects.toMatchObject(fault('target'));
    await expect(link(from, gone)).rejects.toMatchObject(fault('target'));
    await expect(link(gone, from)).rejects.toMatchObject(fault('source'));
    await expect(link(from, to, 'likes')).rejects.toMatchObject(fault('linkType'));
    await expect(
      nodes.service.createLink(nodes.here, { source: from, target: to, linkType: 'nested', linkStrength: 1.01 }),
    ).rejects.toMatchObject(fault('linkStrength'));
    await expect(link({ ...from, featureType: 'function_models' as never }, to)).rejects.toMatchObject(
      fault('source.featureType'),
    );
    await link(from, to);
    await expect(link(from, to)).rejects.toMatchObject({ code: 'DATA_CONSISTENCY_ERROR' });
    expect(await link(from, { ...from, nodeId: 'a' })).toMatchObject({ linkType: 'implements' });
  });

  test('made while its target is deleted leaves no link behind', async () => {
    for (let round = 0; round < 10; round += 1) {
      const [from, to] = [await spindle('From'), await model('To')];
      const [made] = await Promise.allSettled([link(from, to), nodes.service.deleteNode(nodes.here, to)]);
      expect(made).toMatchObject(
        made.status === 'rejected' ? { reason: { code: 'VALIDATION_ERROR' } } : { status: 'fulfilled' },
      );
      expect(await nodes.links.getNodeLinks(nodes.here, from)).toEqual([]);
    }
  });
});

describe('connected nodes', () => {
  test('are found along, against and both ways, through elements, nearest first', async () => {
    const [a, b, c, d] = [await model('A'), await model('B'), await spindle('C'), await spindle('D')];
    await link({ ...a, nodeId: 'a' }, b);
    await link({ ...b, nodeId: 'a' }, c);
    await link(d, a, 'references');
    const names = async (from: NodeReference, how: object) =>
      (await nodes.service.getConnectedNodes(nodes.here, from, how)).map(({ name, depth }) => `${name}${depth}`);
    expect((await names(a, { depth: 3 })).toSorted()).toEqual(['B1', 'C2', 'D1']);
    expect(await names(a, { depth: 1, direction: 'in' })).toEqual(['D1']);
    // A reference holds both ways.
    expect((await names(a, { depth: 1, direction: 'out' })).toSorted()).toEqual(['B1', 'D1']);
    expect(await names(b, { depth: 3, direction: 'out' })).toEqual(['C1']);
    expect(await names({ ...a, nodeId: 'a' }, { depth: 1 })).toEqual(['B1']);
    expect(await names(a, { depth: 3, linkTypes: ['implements'], limit: 1 })).toEqual(['B1']);
    expect(await nodes.service.getConnectedNodes(nodes.there, a)).toEqual([]);
    await expect(names(a, { depth: 11 })).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
  });

  test('are those of a model, in any graph', async () => {
    const size = 8;
    const edge = tuple(nat(size - 1), nat(size - 1)).filter(([from, to]) => from !== to);
    await assert(
      asyncProperty(
        uniqueArray(edge, { maxLength: 14, selector: String }),
        integer({ min: 1, max: 5 }),
        async (edges, depth) => {
          const made = await nodes.service.batchCreateNodes(
            nodes.here,
            Array.from({ length: size }, (_, index) => ({ featureType: 'event-storm' as const, name: `n${index}` })),
          );
          const at = (index: number): NodeReference => ({
            featureType: 'event-storm',
            entityId: made[index]?.entityId ?? '',
          });
          for (const [from, to] of edges) await link(at(from), at(to));
          const near = new Map([[0, 0]]);
          for (let step = 1; step <= depth; step += 1) {
            for (const [from, to] of edges.flatMap(([x, y]) => [[x, y] as const, [y, x] as const]))
              if (near.get(from) === step - 1 && !near.has(to)) near.set(to, step);
          }
          near.delete(0);
          const found = await nodes.service.getConnectedNodes(nodes.here, at(0), { depth });
          expect(new Map(found.map(({ name, depth: far }) => [Number(name.slice(1)), far]))).toEqual(near);
        },
      ),
      { numRuns: 25 },
    );
  });
});
