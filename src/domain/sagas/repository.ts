import { z } from 'zod';
import { pageOf, readPageRequest, type Page, type PageRequest } from '../../lib/postgres/keyset-page.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { sagaColumns, stepColumns, toSaga, toStep, type SagaRow, type StepRow } from './rows.ts';
import type { Saga, SagaDetails, SagaFault, SagaFilter, SagaStep } from './types.ts';

export interface NewSaga {
  readonly id: string;
  readonly name: string;
  readonly workspaceId: string | null;
  readonly inputJson: string;
  readonly jobId: string;
  readonly steps: readonly { readonly name: string; readonly transactional: boolean }[];
}

/** An attempt that has taken a saga; its writes count as long as nobody took it after. */
export interface SagaHolder {
  readonly id: string;
  readonly fence: number;
}

/** `lost`: another attempt has taken the saga; `done`: the step had been done after all, when that was last looked at. */
export type FailureWritten = 'written' | 'lost' | { readonly done: unknown };

const idKey = z.tuple([z.guid()]);

/** The statements on `treadle.sagas` and `treadle.saga_steps`, the journal. */
export class SagaRepository {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  async insert({ id, name, workspaceId, inputJson, jobId, steps }: NewSaga): Promise<Saga> {
    const { rows } = await this.#db.query<SagaRow>(
      `WITH saga AS (
         INSERT INTO treadle.sagas (id, name, workspace_id, input, job_id) VALUES ($1, $2, $3, $4, $5) RETURNING *
       ), steps AS (
         INSERT INTO treadle.saga_steps (saga_id, position, name, transactional)
         SELECT $1, step.position, step.name, step.transactional
         FROM jsonb_to_recordset($6) AS step (position smallint, name text, transactional boolean)
       )
       SELECT ${sagaColumns} FROM saga`,
      [
        id,
        name,
        workspaceId,
        inputJson,
        jobId,
        JSON.stringify(steps.map((step, index) => ({ position: index + 1, ...step }))),
      ],
    );
    const [row] = rows;
    if (!row) throw new Error('INSERT answered no row');
    return toSaga(row);
  }

  async find(id: string): Promise<SagaDetails | undefined> {
    const { rows } = await this.#db.query<SagaRow & { readonly input: Readonly<Record<string, unknown>> }>(
      `SELECT ${sagaColumns}, input FROM treadle.sagas AS saga WHERE id = $1`,
      [id],
    );
    const [row] = rows;
    return row && { ...toSaga(row), input: row.input, steps: await this.steps(id) };
  }

  /** In their order. */
  async steps(id: string): Promise<readonly SagaStep[]> {
    const { rows } = await this.#db.query<StepRow>(
      `SELECT ${stepColumns} FROM treadle.saga_steps WHERE saga_id = $1 ORDER BY position`,
      [id],
    );
    return rows.map(toStep);
  }

  /** Newest first. */
  async list({ state, name }: SagaFilter, request: PageRequest): Promise<Page<Saga>> {
    const start = await readPageRequest(this.#db, request, { list: 'sagas', scope: [state, name], key: idKey });
    const [beyond, order] = start.direction === 'next' ? ['<', 'DESC'] : ['>', 'ASC'];
    const values: unknown[] = [start.limit + 1];
    const conditions: string[] = [];
    if (state !== undefined) conditions.push(`state = $${values.push(state)}`);
    if (name !== undefined) conditions.push(`name = $${values.push(name)}`);
    if (start.key) conditions.push(`id ${beyond} $${values.push(start.key[0])}::uuid`);
    const { rows } = await this.#db.query<SagaRow>(
      `SELECT ${sagaColumns} FROM treadle.sagas AS saga ${conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : ''}
       ORDER BY id ${order} LIMIT $1`,
      values,
    );
    return pageOf(rows, start, { keyOf: (row) => [row.id], toItem: toSaga });
  }

  /**
   * Makes the job's attempt the one that may write, once whoever writes now has ended. A failed saga is being compensated
   * again, for the reason it was at first, with all attempts of the compensation that failed. Undefined when another job that is open runs it. In a transaction.
   */
  async take(id: string, jobId: string): Promise<SagaHolder | undefined> {
    const { rows } = await this.#db.query<{ fence: number }>(
      `UPDATE treadle.sagas AS saga SET
         fence = fence + 1,
         job_id = $2,
         state = CASE state WHEN 'failed' THEN 'compensating' ELSE state END,
         finished_at = CASE state WHEN 'failed' THEN NULL ELSE finished_at END,
         error = CASE state WHEN 'failed' THEN coalesce(
           (SELECT jsonb_build_object('step', step.name) || step.error FROM treadle.saga_steps AS step
            WHERE step.saga_id = saga.id AND step.error IS NOT NULL), error) ELSE error END,
         updated_at = clock_timestamp()
       WHERE id = $1 AND (job_id = $2 OR NOT EXISTS (SELECT FROM treadle.jobs AS job WHERE job.id = saga.job_id))
       RETURNING fence`,
      [id, jobId],
    );
    const [row] = rows;
    if (!row) return undefined;
    await this.#db.query(
      `UPDATE treadle.saga_steps SET state = 'compensating', compensation_attempts = 0
       WHERE saga_id = $1 AND state = 'compensation-failed'`,
      [id],
    );
    return { id, fence: row.fence };
  }

  /** Whether the holder still has the saga, which then nobody can take until the transaction ends. */
  async hold({ id, fence }: SagaHolder): Promise<boolean> {
    const { rowCount } = await this.#db.query(
      'SELECT FROM treadle.sagas WHERE id = $1 AND fence = $2 FOR NO KEY UPDATE',
      [id, fence],
    );
    return rowCount === 1;
  }

  /** Each of these writes answers whether the holder still had the saga. */
  begin(holder: SagaHolder, { position, name }: SagaStep): Promise<boolean> {
    return this.#write(holder, position, `state = 'running', started_at = clock_timestamp()`, [name]);
  }

  done(holder: SagaHolder, { position, name }: SagaStep, resultJson: string): Promise<boolean> {
    const change = `state = 'done', attempts = attempts + 1, result = $5, error = NULL, finished_at = clock_timestamp()`;
    return this.#write(holder, position, change, [name, resultJson]);
  }

  beginCompensation(holder: SagaHolder, { position, name }: SagaStep): Promise<boolean> {
    return this.#write(holder, position, `state = 'compensating'`, [name]);
  }

  /** `attempts`: 0 when there was nothing to do, else 1. */
  compensated(holder: SagaHolder, { position, name }: SagaStep, attempts: 0 | 1): Promise<boolean> {
    const change = `state = 'compensated', compensation_attempts = compensation_attempts + $5, compensated_at = clock_timestamp()`;
    return this.#write(holder, position, change, [name, attempts]);
  }

  async finish({ id, fence }: SagaHolder, state: 'completed' | 'compensated'): Promise<boolean> {
    const { rowCount } = await this.#db.query(
      `UPDATE treadle.sagas SET state = $3, updated_at = clock_timestamp(), finished_at = clock_timestamp()
       WHERE id = $1 AND fence = $2`,
      [id, fence, state],
    );
    return rowCount === 1;
  }

  /** Notes that an attempt of a step failed; for good, and the saga is to be undone. In a transaction. */
  async fail(
    holder: SagaHolder,
    { position, name }: SagaStep,
    { fault, forGood }: { readonly fault: SagaFault; readonly forGood: boolean },
  ): Promise<FailureWritten> {
    if (!(await this.hold(holder))) return 'lost';
    const { rowCount } = await this.#db.query(
      `UPDATE treadle.saga_steps SET attempts = attempts + 1, error = $3, state = $4,
         finished_at = CASE WHEN $4 = 'failed' THEN clock_timestamp() END
       WHERE saga_id = $1 AND position = $2 AND state = 'running'`,
      [holder.id, position, JSON.stringify(fault), forGood ? 'failed' : 'running'],
    );
    if (rowCount !== 1) {
      const [step] = (await this.steps(holder.id)).filter((each) => each.position === position);
      return { done: step?.result };
    }
    if (forGood) await this.#setFault(holder.id, 'compensating', { step: name, ...fault });
    return 'written';
  }

  /** Notes that an attempt of a compensation failed; for good, and the saga with it. In a transaction. */
  async failCompensation(
    holder: SagaHolder,
    { position, name }: SagaStep,
    { fault, forGood }: { readonly fault: SagaFault; readonly forGood: boolean },
  ): Promise<FailureWritten> {
    if (!(await this.hold(holder))) return 'lost';
    const { rowCount } = await this.#db.query(
      `UPDATE treadle.saga_steps SET compensation_attempts = compensation_attempts + 1, compensation_error = $3, state = $4
       WHERE saga_id = $1 AND position = $2 AND state = 'compensating'`,
      [holder.id, position, JSON.stringify(fault), forGood ? 'compensation-failed' : 'compensating'],
    );
    if (rowCount !== 1) return { done: undefined };
    if (forGood) await this.#setFault(holder.id, 'failed', { step: name, ...fault });
    return 'written';
  }

  async #setFault(id: string, state: 'compensating' | 'failed', error: NonNullable<Saga['error']>): Promise<void> {
    await this.#db.query(
      `UPDATE treadle.sagas SET state = $2, error = $3, updated_at = clock_timestamp(),
         finished_at = CASE WHEN $2 = 'failed' THEN clock_timestamp() END
       WHERE id = $1`,
      [id, state, JSON.stringify(error)],
    );
  }

  /** `values`: the step's name, then those of `change` from $5 on. */
  async #write(holder: SagaHolder, position: number, change: string, values: readonly unknown[]): Promise<boolean> {
    const { rowCount } = await this.#db.query(
      `WITH mine AS (
         UPDATE treadle.sagas SET current_step = $4, updated_at = clock_timestamp() WHERE id = $1 AND fence = $2 RETURNING id
       )
       UPDATE treadle.saga_steps AS step SET ${change} FROM mine WHERE step.saga_id = mine.id AND step.position = $3`,
      [holder.id, holder.fence, position, ...values],
    );
    return rowCount === 1;
  }
}
