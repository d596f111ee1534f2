export const sagaStates = ['running', 'completed', 'compensating', 'compensated', 'failed'] as const;
export type SagaState = (typeof sagaStates)[number];

export const sagaStepStates = [
  'pending',
  'running',
  'done',
  'failed',
  'compensating',
  'compensated',
  'compensation-failed',
] as const;
export type SagaStepState = (typeof sagaStepStates)[number];

/** What is kept and shown of an error. */
export interface SagaFault {
  readonly code: string;
  readonly message: string;
}

/** One run of a saga. */
export interface Saga {
  readonly id: string;
  readonly name: string;
  readonly workspaceId: string | null;
  readonly state: SagaState;
  /** The step that was begun or compensated last. */
  readonly currentStep: string | null;
  /** Why it is undone, or, of a failed one, why that did not succeed. */
  readonly error: (SagaFault & { readonly step: string }) | null;
  /** The job that runs it. */
  readonly jobId: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly finishedAt: Date | null;
}

/** One step of a saga, as the journal has it. */
export interface SagaStep {
  /** From 1. */
  readonly position: number;
  readonly name: string;
  readonly transactional: boolean;
  readonly state: SagaStepState;
  /** Those that ended by themselves, not by a crash or a shutdown. */
  readonly attempts: number;
  readonly result: unknown;
  /** Of the last attempt; null when that one succeeded. */
  readonly error: SagaFault | null;
  readonly compensationAttempts: number;
  readonly compensationError: SagaFault | null;
  /** When its last attempt began. */
  readonly startedAt: Date | null;
  /** When it was done, or had failed for good. */
  readonly finishedAt: Date | null;
  readonly compensatedAt: Date | null;
}

export interface SagaDetails extends Saga {
  readonly input: Readonly<Record<string, unknown>>;
  /** In their order. */
  readonly steps: readonly SagaStep[];
}

export interface SagaFilter {
  readonly state?: SagaState | undefined;
  readonly name?: string | undefined;
}
