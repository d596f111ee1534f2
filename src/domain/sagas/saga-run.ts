import { AppError, validationError } from '../../lib/errors/app-error.ts';
import { serializeError } from '../../lib/errors/classify.ts';
import { faultsOf, parseOrThrow, safeParse } from '../../lib/errors/zod-faults.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Transaction } from '../../lib/postgres/transaction.ts';
import { storableJson } from '../../lib/text/storable.ts';
import type { Platform } from '../../platform.ts';
import type { CompensationContext, SagaBackoff, SagaDefinition, SagaStepDefinition } from './define-saga.ts';
import { SagaRepository, type SagaHolder } from './repository.ts';
import type { SagaDetails, SagaFault, SagaStep } from './types.ts';
import { withinTime } from '../../lib/batching/within-time.ts';

/** What an error of a step means. `not-counted`: the job's attempt ends with it, and the step has lost none of its own. */
export type Verdict =
  | { readonly kind: 'failure'; readonly error: unknown; readonly permanent: boolean; readonly afterMs?: number }
  | { readonly kind: 'not-counted' };

/** What an attempt of a saga's job brings. */
export interface SagaAttempt {
  readonly jobId: string;
  readonly platform: Platform;
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly judge: (error: unknown) => Verdict;
  /** Called after each step. */
  readonly onDone: (step: Pick<SagaStep, 'position' | 'name'>, of: number) => void;
}

/**
 * How an attempt of a saga ended. `retry`: a step or a compensation failed and has attempts left; `failed`: a compensation has
 * none; `taken-over`: another attempt runs the saga now.
 */
export type SagaRunEnd =
  | { readonly kind: 'ended'; readonly state: 'completed' | 'compensated'; readonly result: unknown }
  | { readonly kind: 'retry'; readonly error: unknown; readonly afterMs: number }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'taken-over' };

type StepEnd = { readonly kind: 'done'; readonly resultJson: string } | Exclude<SagaRunEnd, { readonly kind: 'ended' }>;

interface Work {
  readonly row: SagaStep;
  readonly step: SagaStepDefinition;
  readonly kind: 'execute' | 'compensate';
  /** Notes in the journal that it is done; answers whether the saga was still this attempt's. */
  readonly note: (journal: SagaRepository, resultJson: string) => Promise<boolean>;
}

const takenOver = { kind: 'taken-over' } as const;

/** Rolls back the transaction of a step whose saga another attempt has taken. */
class TakenOver extends Error {
  override readonly name = 'TakenOver';
}

const resultRule = storableJson(1_048_576);

const resultJsonOf = (result: unknown, step: string): string => {
  const parsed = safeParse(resultRule, result ?? null);
  if (!parsed.success) throw validationError(`the result of the step ${step}`, faultsOf(parsed.error));
  return JSON.stringify(parsed.data);
};

const storable = (text: string): string => text.replaceAll('\0', '\u2400').toWellFormed().slice(0, 10_000);

const faultOf = (error: unknown): SagaFault => {
  const { code, message } = serializeError(error);
  return { code: storable(code), message: storable(message) };
};

const retryDelayMs = ({ delayMs, maxDelayMs }: SagaBackoff, attempt: number): number =>
  Math.round(Math.min(maxDelayMs, delayMs * 2 ** (attempt - 1)) * (1 - Math.random() / 2));

const isExecuted = ({ error, finishedAt }: SagaStep): boolean => error === null && finishedAt !== null;

/** What a transactional step did went back with its transaction when it failed. */
const needsUndoing = ({ state, transactional }: SagaStep): boolean =>
  state === 'done' || state === 'compensating' || (state === 'failed' && !transactional);

/** One attempt of a saga that was taken: goes on where its journal says that it stood. */
export class SagaRun {
  readonly #postgres: Postgres;
  readonly #journal: SagaRepository;
  readonly #definition: SagaDefinition;
  readonly #saga: SagaDetails;
  readonly #holder: SagaHolder;
  readonly #attempt: SagaAttempt;
  readonly #input: unknown;
  readonly #results: Map<string, unknown>;

  /** @throws AppError VALIDATION_ERROR for an input that the definition takes no more. */
  constructor(
    postgres: Postgres,
    definition: SagaDefinition,
    { saga, holder }: { readonly saga: SagaDetails; readonly holder: SagaHolder },
    attempt: SagaAttempt,
  ) {
    this.#postgres = postgres;
    this.#journal = new SagaRepository(postgres);
    this.#definition = definition;
    this.#saga = saga;
    this.#holder = holder;
    this.#attempt = attempt;
    this.#input = parseOrThrow(definition.input, saga.input, `the input of the saga ${definition.name}`);
    this.#results = new Map(saga.steps.filter(isExecuted).map(({ name, result }) => [name, result]));
  }

  async run(): Promise<SagaRunEnd> {
    if (this.#saga.state === 'running') {
      const end = await this.#executeAll();
      if (end.kind !== 'failed') return end;
    }
    return this.#compensateAll();
  }

  async #executeAll(): Promise<SagaRunEnd> {
    const { steps } = this.#saga;
    for (const row of steps.filter(({ state }) => state !== 'done')) {
      this.#attempt.signal.throwIfAborted();
      const step = this.#stepOf(row);
      if (!(await this.#journal.begin(this.#holder, row))) return takenOver;
      const note: Work['note'] = (journal, resultJson) => journal.done(this.#holder, row, resultJson);
      const end = await this.#perform({ row, step, kind: 'execute', note });
      if (end.kind !== 'done') return end;
      this.#results.set(row.name, JSON.parse(end.resultJson));
      this.#attempt.onDone(row, steps.length);
    }
    if (!(await this.#journal.finish(this.#holder, 'completed'))) return takenOver;
    return { kind: 'ended', state: 'completed', result: this.#results.get(steps.at(-1)?.name ?? '') };
  }

  /** Undoes what was done, or may have been done, the last first. */
  async #compensateAll(): Promise<SagaRunEnd> {
    const rows = await this.#journal.steps(this.#saga.id);
    for (const row of rows.toReversed().filter(needsUndoing)) {
      this.#attempt.signal.throwIfAborted();
      const step = this.#stepOf(row);
      const end = step.compensate ? await this.#compensate(row, step) : await this.#skip(row);
      if (end.kind !== 'done') return end;
    }
    if (!(await this.#journal.finish(this.#holder, 'compensated'))) return takenOver;
    return { kind: 'ended', state: 'compensated', result: null };
  }

  async #compensate(row: SagaStep, step: SagaStepDefinition): Promise<StepEnd> {
    if (!(await this.#journal.beginCompensation(this.#holder, row))) return takenOver;
    const note: Work['note'] = (journal) => journal.compensated(this.#holder, row, 1);
    return this.#perform({ row, step, kind: 'compensate', note });
  }

  /** For a step that has nothing to undo. */
  async #skip(row: SagaStep): Promise<StepEnd> {
    return (await this.#journal.compensated(this.#holder, row, 0)) ? { kind: 'done', resultJson: 'null' } : takenOver;
  }

  async #perform(work: Work): Promise<StepEnd> {
    const { row, step } = work;
    const limits = { signal: this.#attempt.signal, timeoutMs: step.timeoutMs, what: `the step ${row.name}` };
    let resultJson: string;
    try {
      resultJson = await withinTime(limits, (signal) =>
        step.transactional === true ? this.#callInTransaction(work, signal) : this.#call(work, signal),
      );
    } catch (error) {
      return error instanceof TakenOver ? takenOver : this.#failed(work, error);
    }
    // An error of this write is not the step's: the step is run again, under the same idempotency key.
    if (step.transactional !== true && !(await work.note(this.#journal, resultJson))) return takenOver;
    return { kind: 'done', resultJson };
  }

  async #call({ row, step, kind }: Work, signal: AbortSignal, tx?: Transaction): Promise<string> {
    const { id, name, workspaceId } = this.#saga;
    const context: CompensationContext = {
      input: this.#input,
      saga: { id, name, workspaceId },
      results: Object.fromEntries(this.#results),
      result: isExecuted(row) ? row.result : undefined,
      idempotencyKey: `${id}:${row.name}${kind === 'compensate' ? ':compensate' : ''}`,
      attempt: 1 + (kind === 'execute' ? row.attempts : row.compensationAttempts),
      platform: this.#attempt.platform,
      signal,
      log: this.#attempt.log.child({ sagaId: id, saga: name, step: row.name }),
    };
    if (step.transactional !== true) return resultJsonOf(await step[kind]?.(context), row.name);
    if (!tx) throw new AppError('INTERNAL_ERROR', 'a transactional step is called in a transaction only', {});
    return resultJsonOf(await step[kind]?.({ ...context, tx }), row.name);
  }

  /** What the step does and its line in the journal are committed together, while nobody else can take the saga. */
  #callInTransaction(work: Work, signal: AbortSignal): Promise<string> {
    const { row, step } = work;
    return this.#postgres.transaction(
      async (tx) => {
        const journal = new SagaRepository(tx);
        if (!(await journal.hold(this.#holder))) throw new TakenOver();
        const resultJson = await this.#call(work, signal, tx);
        if (!(await work.note(journal, resultJson))) throw new TakenOver();
        return resultJson;
      },
      { name: `saga ${this.#saga.name} ${row.name}`, timeoutMs: step.timeoutMs },
    );
  }

  async #failed({ row, step, kind }: Work, error: unknown): Promise<StepEnd> {
    // Then the attempt was ended, not the step.
    if (this.#attempt.signal.aborted) throw error;
    const verdict = this.#attempt.judge(error);
    if (verdict.kind === 'not-counted') throw error;
    const executes = kind === 'execute';
    const attempt = 1 + (executes ? row.attempts : row.compensationAttempts);
    const forGood = verdict.permanent || attempt >= (executes ? step.attempts : step.compensationAttempts);
    const failure = { fault: faultOf(verdict.error), forGood };
    const written = await this.#postgres.transaction(
      (tx) => {
        const journal = new SagaRepository(tx);
        return executes
          ? journal.fail(this.#holder, row, failure)
          : journal.failCompensation(this.#holder, row, failure);
      },
      { name: 'saga.fail' },
    );
    if (written === 'lost') return takenOver;
    // A connection that was lost during COMMIT does not say what became of it.
    if (written !== 'written') return { kind: 'done', resultJson: JSON.stringify(written.done ?? null) };
    const { id: sagaId, name: saga } = this.#saga;
    const event = executes ? 'saga.step-failed' : 'saga.compensation-failed';
    this.#attempt.log.warn({ event, sagaId, saga, step: row.name, attempt, forGood, err: verdict.error });
    if (forGood) return { kind: 'failed', error: verdict.error };
    const afterMs = verdict.afterMs ?? retryDelayMs(this.#definition.backoff, attempt);
    return { kind: 'retry', error: verdict.error, afterMs };
  }

  #stepOf({ name }: SagaStep): SagaStepDefinition {
    const step = this.#definition.steps.find((each) => each.name === name);
    if (step) return step;
    const message = `the saga ${this.#saga.name} has no step ${name} any more, which one begun earlier needs`;
    throw new AppError('CONFIGURATION_ERROR', message, {});
  }
}
