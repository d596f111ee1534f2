/**
 * What one child's failure (it ended dead or cancelled) does to a job that waits for its children: `fail` makes the job a
 * dead letter at once and cancels its other children; `continue` lets it wait for the rest.
 */
export type ChildFailurePolicy = 'fail' | 'continue';

/** What came of one attempt. Handlers return one; what they throw becomes one (an unknown error is `retryable`). */
export type Outcome<R = unknown> =
  | { readonly kind: 'completed'; readonly result: R }
  | { readonly kind: 'retryable'; readonly error: unknown; readonly afterMs: number | undefined }
  | { readonly kind: 'permanent'; readonly error: unknown }
  | { readonly kind: 'rate-limited'; readonly afterMs: number }
  | { readonly kind: 'deferred'; readonly until: Date }
  | { readonly kind: 'await-children'; readonly onChildFailure: ChildFailurePolicy }
  | { readonly kind: 'interrupted' }
  | { readonly kind: 'cancelled' };

const kinds: ReadonlySet<unknown> = new Set<Outcome['kind']>([
  'completed',
  'retryable',
  'permanent',
  'rate-limited',
  'deferred',
  'await-children',
  'interrupted',
  'cancelled',
]);

/** For what a handler without types answers. */
export const isOutcome = (value: unknown): value is Outcome =>
  typeof value === 'object' && value !== null && 'kind' in value && kinds.has(value.kind);

/** The job is done; `result` is kept with it. */
export const completed = <R>(result: R): Outcome<R> => ({ kind: 'completed', result });
/** The attempt failed and another may succeed: after the contract's backoff, or after `afterMs`. */
export const retryable = (error: unknown, afterMs?: number): Outcome<never> => ({ kind: 'retryable', error, afterMs });
/** No attempt can succeed: the job becomes a dead letter. */
export const permanent = (error: unknown): Outcome<never> => ({ kind: 'permanent', error });
/** Somebody else's limit is reached: run again after `afterMs`; costs no attempt. */
export const rateLimited = (afterMs: number): Outcome<never> => ({ kind: 'rate-limited', afterMs });
/** Not yet: run again at `until`; costs no attempt. */
export const deferred = (until: Date): Outcome<never> => ({ kind: 'deferred', until });

/**
 * Run again when all children of the job have ended, at once if none is open; costs no attempt. The handler finds out by
 * `children.awaited` which part of its work comes next.
 */
export const awaitChildren = ({
  onChildFailure = 'fail',
}: { readonly onChildFailure?: ChildFailurePolicy } = {}): Outcome<never> => ({
  kind: 'await-children',
  onChildFailure,
});

/** Thrown by a handler, deep down, to end the attempt with the given outcome. */
export class OutcomeError extends Error {
  override readonly name = 'OutcomeError';
  readonly outcome: Outcome<never>;
  constructor(outcome: Outcome<never>) {
    super(`the attempt ended as ${outcome.kind}`);
    this.outcome = outcome;
  }
}
