import { z } from 'zod';
import { sagaStates, sagaStepStates } from '../../domain/sagas/types.ts';

export const sagaState = z.enum(sagaStates);
export const sagaName = z.string().min(1).max(100).describe('The name of a saga that a module of TREADLE_JOBS brings');

const fault = z.object({ code: z.string(), message: z.string() });

export const saga = z
  .object({
    id: z.string(),
    name: z.string(),
    workspaceId: z.string().nullable(),
    state: sagaState,
    currentStep: z.string().nullable().describe('The step that was begun or compensated last'),
    error: fault
      .extend({ step: z.string() })
      .nullable()
      .describe('Why it is undone, or, of a failed one, why that did not succeed'),
    jobId: z.string().describe('The job that runs it'),
    createdAt: z.date(),
    updatedAt: z.date(),
    finishedAt: z.date().nullable(),
  })
  .meta({ id: 'Saga' });

const sagaStep = z
  .object({
    position: z.number().describe('From 1'),
    name: z.string(),
    transactional: z.boolean(),
    state: z.enum(sagaStepStates),
    attempts: z.number().describe('Those that ended by themselves, not by a crash or a shutdown'),
    result: z.unknown(),
    error: fault.nullable().describe('Of the last attempt; null when that one succeeded'),
    compensationAttempts: z.number(),
    compensationError: fault.nullable(),
    startedAt: z.date().nullable().describe('When its last attempt began'),
    finishedAt: z.date().nullable().describe('When it was done, or had failed for good'),
    compensatedAt: z.date().nullable(),
  })
  .meta({ id: 'SagaStep' });

export const sagaDetails = saga
  .extend({ input: z.record(z.string(), z.unknown()), steps: z.array(sagaStep).readonly() })
  .meta({ id: 'SagaDetails' });

/** The fields of the input are checked by the saga's own schema. */
export const sagaBody = z.strictObject({
  name: sagaName,
  input: z.record(z.string(), z.unknown()).describe('What the saga works on; each has its own shape'),
  workspaceId: z.uuid().optional().describe('Whom it belongs to, and whose turn its job takes'),
});
