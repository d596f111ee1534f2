import type { AppError } from '../errors/app-error.ts';

/** What to tell the caller whose change broke the constraint of that name. */
export type ConstraintErrors = Readonly<Record<string, () => AppError>>;

const constraintOf = (error: unknown): string | undefined =>
  typeof error === 'object' && error !== null && 'constraint' in error && typeof error.constraint === 'string'
    ? error.constraint
    : undefined;

/** Runs `work`; when it breaks one of the named constraints, throws the error that stands for it, with the cause. */
export const explainConstraints = async <T>(errors: ConstraintErrors, work: () => Promise<T>): Promise<T> => {
  try {
    return await work();
  } catch (error) {
    const explained = errors[constraintOf(error) ?? '']?.();
    if (explained === undefined) throw error;
    explained.cause = error;
    throw explained;
  }
};
