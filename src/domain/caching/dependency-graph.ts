import { validationError } from '../../lib/errors/app-error.ts';

/** Which keys go with which. It has no cycles. */
export class DependencyGraph {
  readonly #dependents = new Map<string, Set<string>>();

  /** @throws AppError VALIDATION_ERROR when `parent` goes with `dependent` already, or is the same. */
  add(parent: string, dependent: string): void {
    if (parent === dependent || this.of(dependent).includes(parent)) {
      const message = `would make a cycle: ${JSON.stringify(parent)} depends on ${JSON.stringify(dependent)}`;
      throw validationError('the dependency', [{ path: 'dependent', message }]);
    }
    const known = this.#dependents.get(parent) ?? new Set();
    known.add(dependent);
    this.#dependents.set(parent, known);
  }

  /** All that go with a key, directly or by others. */
  of(parent: string): readonly string[] {
    const found = new Set<string>();
    const open = [...(this.#dependents.get(parent) ?? [])];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (found.has(next)) continue;
      found.add(next);
      open.push(...(this.#dependents.get(next) ?? []));
    }
    return [...found];
  }

  /** Each key with those that depend on it directly. */
  entries(): ReadonlyMap<string, readonly string[]> {
    return new Map([...this.#dependents].map(([parent, dependents]) => [parent, [...dependents]]));
  }
}
