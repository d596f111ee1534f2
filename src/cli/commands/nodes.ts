import { Argument, Option } from 'commander';
import type { Command } from 'commander';
import { featureTypes, type FeatureType } from '../../domain/nodes/types.ts';
import { notFound } from '../../lib/errors/app-error.ts';
import { cellText, table } from '../../lib/terminal/table.ts';
import type { AddCommand, RunCommand } from '../add-command.ts';
import { time, wholeNumber } from '../arguments.ts';

interface InWorkspace {
  readonly workspace: string;
}

const feature = () => new Argument('<feature>', 'the feature').choices(featureTypes);

const addList = (nodes: Command, run: RunCommand): void => {
  nodes
    .command('list')
    .description('list the entities of a feature, latest change first')
    .addArgument(feature())
    .requiredOption('--workspace <name>', 'the workspace, by name or id')
    .option('--status <status>', 'in this status')
    .option('--tag <tag>', 'with this tag')
    .option('--limit <count>', 'at most so many', wholeNumber(1, 100), 20)
    .option('--cursor <cursor>', 'nextCursor or prevCursor of an earlier answer (--json shows them)')
    .action(
      run(
        async (
          { platform, output },
          of: FeatureType,
          options: InWorkspace & { status?: string; tag?: string; limit: number; cursor?: string },
        ) => {
          const { nodeQueries, workspaces } = await platform();
          const { workspace, ...query } = options;
          const { id } = await workspaces.get(workspace);
          const page = await nodeQueries.list(id, of, query);
          output.result(page, () =>
            table(
              page.items,
              [
                { title: 'id', value: (row) => row.entityId },
                { title: 'name', value: (row) => row.name },
                { title: 'status', value: (row) => cellText(row.status) },
                { title: 'revision', value: (row) => cellText(row.revision), align: 'right' },
                { title: 'changed', value: (row) => row.updatedAt.toISOString() },
              ],
              'There are none.',
            ),
          );
        },
      ),
    );
};

const addShow = (nodes: Command, run: RunCommand): void => {
  nodes
    .command('show')
    .description('show an entity, as it is or as it was')
    .addArgument(feature())
    .argument('<id>', 'the id of the entity')
    .requiredOption('--workspace <name>', 'the workspace, by name or id')
    .option('--as-of <time>', 'as it was then, such as 2026-01-31T09:00:00Z', time)
    .action(
      run(async ({ platform, output }, of: FeatureType, entityId: string, options: InWorkspace & { asOf?: Date }) => {
        const { nodes: service, workspaces } = await platform();
        const { id } = await workspaces.get(options.workspace);
        const reference = { featureType: of, entityId };
        const found = options.asOf
          ? await service.getNodeAsOf(id, reference, options.asOf)
          : await service.getNode(id, reference);
        if (!found) throw notFound(of, entityId);
        output.result(found, () => JSON.stringify(found, null, 2));
      }),
    );
};

const addEvents = (nodes: Command, run: RunCommand): void => {
  nodes
    .command('events')
    .description('show the changes of an entity, latest first')
    .addArgument(feature())
    .argument('<id>', 'the id of the entity')
    .requiredOption('--workspace <name>', 'the workspace, by name or id')
    .option('--limit <count>', 'at most so many', wholeNumber(1, 100), 20)
    .action(
      run(async ({ platform, output }, of: FeatureType, entityId: string, options: InWorkspace & { limit: number }) => {
        const { nodeQueries, workspaces } = await platform();
        const { id } = await workspaces.get(options.workspace);
        const page = await nodeQueries.events(id, { featureType: of, entityId }, { limit: options.limit });
        output.result(page, () =>
          table(
            page.items,
            [
              { title: 'revision', value: (row) => row.revision, align: 'right' },
              { title: 'what', value: (row) => row.eventType },
              { title: 'by', value: (row) => cellText(row.actor) },
              { title: 'when', value: (row) => row.timestamp.toISOString() },
              { title: 'columns', value: (row) => Object.keys(row.data).join(', ') },
            ],
            'There are none.',
          ),
        );
      }),
    );
};

const addConnected = (nodes: Command, run: RunCommand): void => {
  nodes
    .command('connected')
    .description('show what links lead to from an entity, nearest first')
    .addArgument(feature())
    .argument('<id>', 'the id of the entity')
    .requiredOption('--workspace <name>', 'the workspace, by name or id')
    .option('--depth <links>', 'at most so many links away', wholeNumber(1, 10), 1)
    .option('--limit <count>', 'at most so many', wholeNumber(1, 1_000), 100)
    .addOption(new Option('--direction <direction>', 'which links').choices(['both', 'out', 'in']).default('both'))
    .action(
      run(
        async (
          { platform, output },
          of: FeatureType,
          entityId: string,
          { workspace, ...how }: InWorkspace & { depth: number; limit: number; direction: 'both' | 'out' | 'in' },
        ) => {
          const { nodes: service, workspaces } = await platform();
          const { id } = await workspaces.get(workspace);
          const items = await service.getConnectedNodes(id, { featureType: of, entityId }, how);
          output.result({ items }, () =>
            table(
              items,
              [
                { title: 'depth', value: (row) => row.depth, align: 'right' },
                { title: 'feature', value: (row) => row.featureType },
                { title: 'id', value: (row) => row.entityId },
                { title: 'name', value: (row) => row.name },
              ],
              'It is linked to nothing.',
            ),
          );
        },
      ),
    );
};

const addRebuild = (nodes: Command, run: RunCommand): void => {
  nodes
    .command('rebuild')
    .description('make what lists and links read anew from the events of a workspace; writers wait meanwhile')
    .requiredOption('--workspace <name>', 'the workspace, by name or id')
    .action(
      run(async ({ platform, output }, options: InWorkspace) => {
        const { nodeQueries, workspaces } = await platform();
        const { id, name } = await workspaces.get(options.workspace);
        const count = await nodeQueries.rebuild(id);
        output.result({ workspace: name, nodes: count }, () => `The workspace ${name} has ${count} nodes.`);
      }),
    );
};

export const addNodes: AddCommand = (program, run) => {
  const nodes = program
    .command('nodes')
    .description('look at function models, SOPs, event storms and spindles, their history and their links');
  for (const add of [addList, addShow, addEvents, addConnected, addRebuild]) add(nodes, run);
};
