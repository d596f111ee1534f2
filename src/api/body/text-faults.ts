import type { Fault } from '../../lib/errors/app-error.ts';
import { isStorable } from '../../lib/text/storable.ts';

const maxDepth = 100;
const maxFaults = 20;

interface Open {
  readonly value: unknown;
  readonly path: string;
  readonly depth: number;
}

/**
 * What no Postgres text or JSON can keep, wherever it lies in a parsed body: NUL and halves of surrogate pairs; and
 * nesting deeper than 100. Walks without recursion, so that a hostile body cannot exhaust the stack.
 */
export const textFaults = (body: unknown): readonly Fault[] => {
  const faults: Fault[] = [];
  const open: Open[] = [{ value: body, path: '', depth: 0 }];
  for (let next = open.pop(); next && faults.length < maxFaults; next = open.pop()) {
    const { value, path, depth } = next;
    if (typeof value === 'string' && !isStorable(value)) {
      faults.push({ path, message: 'contains NUL or half of a surrogate pair' });
    }
    if (typeof value !== 'object' || value === null) continue;
    if (depth === maxDepth) {
      return [{ path: path.slice(0, 100), message: `is nested more than ${maxDepth} levels deep` }];
    }
    if (Array.isArray(value)) {
      for (const [index, inner] of value.entries()) {
        if (typeof inner === 'string' || typeof inner === 'object') {
          open.push({ value: inner, path: `${path}[${index}]`, depth: depth + 1 });
        }
      }
      continue;
    }
    for (const [key, inner] of Object.entries(value)) {
      if (!isStorable(key))
        faults.push({ path, message: 'has a field whose name contains NUL or half of a surrogate pair' });
      if (typeof inner === 'string' || typeof inner === 'object') {
        open.push({ value: inner, path: path ? `${path}.${key}` : key, depth: depth + 1 });
      }
    }
  }
  return faults;
};
