import type { SagaDefinition } from './define-saga.ts';

/** For what the modules of an app bring, whose shape was looked at when they were loaded. */
export const isSagaDefinition = (saga: { readonly name: string }): saga is SagaDefinition =>
  'steps' in saga && 'input' in saga && 'backoff' in saga;
