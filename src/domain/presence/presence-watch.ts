import { Alarm } from '../../lib/batching/alarm.ts';
import type { PresenceBell } from './presence-bell.ts';
import type { Events, PresenceStore } from './presence-store.ts';
import type { PresenceNews, PresenceSnapshot } from './types.ts';

/** A bell that stays silent delays news by so much. */
const lookEveryMs = 10_000;
const step = 100;

export interface WatchParts {
  readonly store: PresenceStore;
  readonly bell: PresenceBell;
  readonly snapshot: (documentId: string) => Promise<PresenceSnapshot>;
  /** Told of each look that failed; another follows. */
  readonly onError: (error: unknown) => void;
}

/** Whether nothing was forgotten between the sequence `after` and these events. */
const follows = ({ events, sequence, firstSequence }: Events, after: number): boolean => {
  if (sequence === after) return true;
  const [next] = events;
  return next !== undefined && next.sequence === (after === 0 ? firstSequence : after + 1);
};

/** What happens in one document, from a sequence on; each look answers what is new. */
class DocumentWatch {
  readonly #parts: WatchParts;
  readonly #documentId: string;
  #after: number | undefined;
  /** Whether the last look saw as much as one can, so that there may be more. */
  #more = false;

  constructor(parts: WatchParts, documentId: string, after: number | undefined) {
    this.#parts = parts;
    this.#documentId = documentId;
    this.#after = after;
  }

  get more(): boolean {
    return this.#more;
  }

  async look(): Promise<readonly PresenceNews[]> {
    if (this.#after === undefined) return this.#snapshot('start');
    const seen = await this.#parts.store.events(this.#documentId, this.#after, step);
    if (!follows(seen, this.#after)) return this.#snapshot('missed');
    this.#after = seen.events.at(-1)?.sequence ?? this.#after;
    this.#more = seen.events.length === step;
    return seen.events.map((event) => ({ kind: 'event', event }));
  }

  async #snapshot(reason: 'start' | 'missed'): Promise<readonly PresenceNews[]> {
    const snapshot = await this.#parts.snapshot(this.#documentId);
    this.#after = snapshot.sequence;
    this.#more = false;
    return [{ kind: 'snapshot', reason, snapshot }];
  }
}

/**
 * Follows a document until the signal: first a snapshot, or from the sequence `after` on what was missed since, or a snapshot
 * where that is not known any more; then each event. Has looked once when it resolves.
 * @throws what the first look throws; later ones are told to `onError`.
 */
export const watchDocument = async (
  parts: WatchParts,
  {
    documentId,
    after,
    signal,
  }: { readonly documentId: string; readonly after: number | undefined; readonly signal: AbortSignal },
): Promise<AsyncGenerator<PresenceNews>> => {
  const alarm = new Alarm();
  const ring = (): void => alarm.ring();
  const watch = new DocumentWatch(parts, documentId, after);
  const stop = await parts.bell.listen(documentId, ring);
  const first = await watch.look().catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  // Also where nobody ever asks for the news.
  const end = (): void => {
    ring();
    void stop();
  };
  if (signal.aborted) end();
  else signal.addEventListener('abort', end, { once: true });
  return follow(parts, { watch, first, alarm, signal, stop });
};

interface Following {
  readonly watch: DocumentWatch;
  readonly first: readonly PresenceNews[];
  readonly alarm: Alarm;
  readonly signal: AbortSignal;
  readonly stop: () => Promise<void>;
}

async function* follow(
  { onError }: WatchParts,
  { watch, first, alarm, signal, stop }: Following,
): AsyncGenerator<PresenceNews> {
  try {
    yield* first;
    while (!signal.aborted) {
      if (!watch.more) await alarm.sleep(lookEveryMs);
      if (signal.aborted) return;
      const news = await watch.look().catch((error: unknown) => {
        onError(error);
        return [];
      });
      yield* news;
    }
  } finally {
    await stop();
  }
}
