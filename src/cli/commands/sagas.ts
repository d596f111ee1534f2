import { Option, type Command } from 'commander';
import { sagaStates, type Saga, type SagaDetails, type SagaFilter, type SagaStep } from '../../domain/sagas/types.ts';
import { properties, table, type Column } from '../../lib/terminal/table.ts';
import type { AddCommand, RunCommand } from '../add-command.ts';
import { jsonObject, uuid, wholeNumber, type JsonObject } from '../arguments.ts';

interface ListOptions extends SagaFilter {
  readonly limit: number;
  readonly cursor?: string;
}

const errorText = ({ error }: Saga): string | null => error && `${error.step}: ${error.code}: ${error.message}`;

const stepColumns: readonly Column<SagaStep>[] = [
  { title: 'step', value: (row) => row.name },
  { title: 'state', value: (row) => row.state },
  { title: 'attempts', value: (row) => row.attempts, align: 'right' },
  { title: 'undone in', value: (row) => row.compensationAttempts || null, align: 'right' },
  { title: 'started', value: (row) => row.startedAt },
  { title: 'finished', value: (row) => row.finishedAt },
  { title: 'compensated', value: (row) => row.compensatedAt },
  {
    title: 'result or error',
    value: ({ compensationError, error, result, finishedAt }) => {
      const fault = compensationError ?? error;
      if (fault) return `${fault.code}: ${fault.message}`;
      return finishedAt && JSON.stringify(result);
    },
    maxWidth: 60,
  },
];

const sagaText = (saga: SagaDetails): string => {
  const fields = properties([
    ['id', saga.id],
    ['name', saga.name],
    ['state', saga.state],
    ['workspace', saga.workspaceId],
    ['job', saga.jobId],
    ['created', saga.createdAt],
    ['finished', saga.finishedAt],
    ['input', JSON.stringify(saga.input)],
    ['error', errorText(saga)],
  ]);
  return `${fields}\n\n${table(saga.steps, stepColumns, '')}`;
};

const addList = (sagas: Command, run: RunCommand): void => {
  sagas
    .command('list')
    .description('list sagas, the newest first')
    .addOption(new Option('--state <state>', 'in this state').choices(sagaStates))
    .option('--name <name>', 'of this name')
    .option('--limit <count>', 'at most so many', wholeNumber(1, 100), 20)
    .option('--cursor <cursor>', 'where the page before ended')
    .action(
      run(async ({ platform, output }, { limit, cursor, ...filter }: ListOptions) => {
        const page = await (await platform()).sagas.list(filter, { limit, cursor });
        output.result(page, () =>
          table(
            page.items,
            [
              { title: 'id', value: (row) => row.id },
              { title: 'name', value: (row) => row.name, maxWidth: 40 },
              { title: 'state', value: (row) => row.state },
              { title: 'step', value: (row) => row.currentStep, maxWidth: 30 },
              { title: 'created', value: (row) => row.createdAt },
              { title: 'finished', value: (row) => row.finishedAt },
              { title: 'error', value: errorText, maxWidth: 60 },
            ],
            'There are no such sagas.',
          ),
        );
        if (page.nextCursor !== null) output.note(`There are more: --cursor ${page.nextCursor}`);
      }),
    );
};

const addShow = (sagas: Command, run: RunCommand): void => {
  sagas
    .command('show')
    .description('show a saga with its steps')
    .argument('<id>', 'its id', uuid)
    .action(
      run(async ({ platform, output }, id: string) => {
        const saga = await (await platform()).sagas.get(id);
        output.result(saga, () => sagaText(saga));
      }),
    );
};

const addStart = (sagas: Command, run: RunCommand): void => {
  sagas
    .command('start')
    .description('start a saga, to be run by the workers')
    .argument('<name>', "the saga's name, one that a module of TREADLE_JOBS brings")
    .argument('<json>', 'its input, a JSON object; - reads it from standard input', jsonObject)
    .option('--workspace <name>', 'whom it belongs to, and whose turn its job takes')
    .action(
      run(async ({ platform, output }, name: string, input: JsonObject, options: { readonly workspace?: string }) => {
        const { sagas: service, workspaces } = await platform();
        const { workspace } = options;
        const workspaceId = workspace === undefined ? undefined : (await workspaces.get(workspace)).id;
        const saga = await service.startByName(name, input, { workspaceId });
        output.result(saga, () => `Started saga ${saga.id} (${saga.name}); the job ${saga.jobId} runs it.`);
      }),
    );
};

export const addSagas: AddCommand = (program, run) => {
  const sagas = program
    .command('sagas')
    .description('steps that belong together: how far they are, and what was undone');
  for (const add of [addList, addShow, addStart]) add(sagas, run);
};
