import type { Saga, SagaFault, SagaState, SagaStep, SagaStepState } from './types.ts';

export interface SagaRow {
  readonly id: string;
  readonly name: string;
  readonly workspace_id: string | null;
  readonly state: SagaState;
  readonly current_step: string | null;
  readonly error: Saga['error'];
  readonly job_id: string;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly finished_at: Date | null;
}

export interface StepRow {
  readonly position: number;
  readonly name: string;
  readonly transactional: boolean;
  readonly state: SagaStepState;
  readonly attempts: number;
  readonly result: unknown;
  readonly error: SagaFault | null;
  readonly compensation_attempts: number;
  readonly compensation_error: SagaFault | null;
  readonly started_at: Date | null;
  readonly finished_at: Date | null;
  readonly compensated_at: Date | null;
}

export const sagaColumns =
  'saga.id, saga.name, workspace_id, state, current_step, error, job_id, created_at, updated_at, finished_at';
export const stepColumns = `position, name, transactional, state, attempts, result, error, compensation_attempts,
  compensation_error, started_at, finished_at, compensated_at`;

export const toSaga = (row: SagaRow): Saga => ({
  id: row.id,
  name: row.name,
  workspaceId: row.workspace_id,
  state: row.state,
  currentStep: row.current_step,
  error: row.error,
  jobId: row.job_id,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  finishedAt: row.finished_at,
});

export const toStep = (row: StepRow): SagaStep => ({
  position: row.position,
  name: row.name,
  transactional: row.transactional,
  state: row.state,
  attempts: row.attempts,
  result: row.result,
  error: row.error,
  compensationAttempts: row.compensation_attempts,
  compensationError: row.compensation_error,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
  compensatedAt: row.compensated_at,
});
