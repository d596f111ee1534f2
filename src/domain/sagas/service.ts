import type { z } from 'zod';
import { AppError, notFound, validationError } from '../../lib/errors/app-error.ts';
import { faultsOf, safeParse } from '../../lib/errors/zod-faults.ts';
import { uuidV7 } from '../../lib/ids/uuid-v7.ts';
import { explainConstraints } from '../../lib/postgres/constraint-error.ts';
import type { Page, PageRequest } from '../../lib/postgres/keyset-page.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { storableObject } from '../../lib/text/storable.ts';
import type { SagaDefinition } from './define-saga.ts';
import { SagaRepository } from './repository.ts';
import { SagaRun, type SagaAttempt, type SagaRunEnd } from './saga-run.ts';
import type { Saga, SagaDetails, SagaFilter } from './types.ts';

/** The job that is to run a saga, which exists if and only if the transaction commits. */
export interface SagaJob {
  readonly sagaId: string;
  readonly sagaName: string;
  readonly workspaceId: string | null;
  /** Enough for every attempt that the steps may have. */
  readonly attempts: number;
  /** Enough for all steps in one attempt. */
  readonly timeoutMs: number;
}

export interface SagaServiceParts {
  readonly postgres: Postgres;
  readonly definitions: readonly SagaDefinition[];
  /** Accepts the job and answers its id. */
  readonly enqueue: (tx: Queryable, job: SagaJob) => Promise<string>;
}

export interface StartSagaOptions {
  /** Whom it belongs to, and whose turn its job takes. */
  readonly workspaceId?: string | undefined;
  /** The caller's open transaction: the saga exists if and only if it commits. */
  readonly tx?: Queryable | undefined;
}

const maxTimeoutMs = 86_400_000;
const slackMs = 60_000;
/** Of the job beyond those of the steps: for what fails between them. */
const slackAttempts = 10;

const inputRule = storableObject(1_048_576);

const inputJsonOf = ({ name, input: rule }: SagaDefinition, input: unknown): string => {
  const kept = safeParse(inputRule, input);
  const parsed = kept.success ? safeParse(rule, input) : kept;
  if (!parsed.success) throw validationError(`the saga ${name}`, faultsOf(parsed.error, ['input']));
  return JSON.stringify(input);
};

const attemptsOf = ({ steps }: SagaDefinition): number =>
  steps.reduce((sum, step) => sum + step.attempts + step.compensationAttempts, slackAttempts);

const timeoutOf = ({ steps }: SagaDefinition): number =>
  Math.min(
    maxTimeoutMs,
    steps.reduce((sum, { timeoutMs }) => sum + 2 * timeoutMs, slackMs),
  );

/** Sagas: starting them, running them, and what their journal says of them. */
export class SagaService {
  readonly #postgres: Postgres;
  readonly #sagas: SagaRepository;
  readonly #definitions: ReadonlyMap<string, SagaDefinition>;
  readonly #enqueue: SagaServiceParts['enqueue'];

  constructor({ postgres, definitions, enqueue }: SagaServiceParts) {
    this.#postgres = postgres;
    this.#sagas = new SagaRepository(postgres);
    this.#definitions = new Map(definitions.map((definition) => [definition.name, definition]));
    this.#enqueue = enqueue;
  }

  /** As {@link startByName}, with an input that is typed by the definition. */
  start<I extends z.ZodType>(
    definition: SagaDefinition<string, I>,
    input: z.input<I>,
    options?: StartSagaOptions,
  ): Promise<Saga> {
    return this.startByName(definition.name, input, options);
  }

  /**
   * Writes a saga down and accepts the job that runs it, both or neither.
   * @throws AppError NOT_FOUND for a name that no module brings, or a workspace that does not exist; VALIDATION_ERROR naming
   * the fields of the input that do not fit.
   */
  async startByName(name: string, input: unknown, { workspaceId, tx }: StartSagaOptions = {}): Promise<Saga> {
    const definition = this.#definitions.get(name);
    if (!definition) throw notFound('saga', name);
    const inputJson = inputJsonOf(definition, input);
    const start = (db: Queryable): Promise<Saga> => this.#insert(db, definition, inputJson, workspaceId ?? null);
    return explainConstraints({ sagas_workspace_id_fkey: () => notFound('workspace', workspaceId ?? '') }, () =>
      tx ? start(tx) : this.#postgres.transaction(start, { name: 'saga.start' }),
    );
  }

  async find(id: string): Promise<SagaDetails | undefined> {
    return this.#sagas.find(id);
  }

  /** @throws AppError NOT_FOUND. */
  async get(id: string): Promise<SagaDetails> {
    const saga = await this.find(id);
    if (!saga) throw notFound('saga', id);
    return saga;
  }

  /** Newest first, 20 a page. */
  list(filter: SagaFilter = {}, page: PageRequest = {}): Promise<Page<Saga>> {
    return this.#sagas.list(filter, page);
  }

  /**
   * Runs a saga from where it stands, as an attempt of its job; what another attempt of it does from then on has no effect on
   * its journal. One that had failed is compensated further. `unknown`: this process has not got its steps.
   * @throws AppError NOT_FOUND; DATA_CONSISTENCY_ERROR when another open job runs it; CONFIGURATION_ERROR when the journal
   * names a step that its definition has not; and what a step threw that costs it no attempt.
   */
  async run(id: string, attempt: SagaAttempt): Promise<SagaRunEnd | { readonly kind: 'unknown' }> {
    const { name, jobId } = await this.get(id);
    const definition = this.#definitions.get(name);
    if (!definition) return { kind: 'unknown' };
    const holder = await this.#postgres.transaction((tx) => new SagaRepository(tx).take(id, attempt.jobId), {
      name: 'saga.take',
    });
    if (!holder) {
      throw new AppError('DATA_CONSISTENCY_ERROR', `the saga is run by the job ${jobId}`, {
        entity: 'saga',
        entityId: id,
      });
    }
    const saga = await this.get(id);
    if (saga.state === 'completed' || saga.state === 'compensated') {
      const result = saga.state === 'completed' ? saga.steps.at(-1)?.result : null;
      return { kind: 'ended', state: saga.state, result };
    }
    return new SagaRun(this.#postgres, definition, { saga, holder }, attempt).run();
  }

  async #insert(
    db: Queryable,
    definition: SagaDefinition,
    inputJson: string,
    workspaceId: string | null,
  ): Promise<Saga> {
    const { name, steps } = definition;
    const id = uuidV7();
    const job = {
      sagaId: id,
      sagaName: name,
      workspaceId,
      attempts: attemptsOf(definition),
      timeoutMs: timeoutOf(definition),
    };
    const jobId = await this.#enqueue(db, job);
    const rows = steps.map((step) => ({ name: step.name, transactional: step.transactional === true }));
    return new SagaRepository(db).insert({ id, name, workspaceId, inputJson, jobId, steps: rows });
  }
}
