import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';

export interface ServerSentEvent {
  /** With which a client that comes back asks for what follows; alone, it is only remembered. */
  readonly id?: string;
  readonly event?: string;
  /** One line. */
  readonly data?: string;
}

export interface EventStreamOptions<T> {
  readonly signal: AbortSignal;
  readonly heartbeatMs: number;
  readonly format: (item: T) => ServerSentEvent;
}

type Step<T> = IteratorResult<T> | 'silence' | 'gone';

const aborted = (signal: AbortSignal): Promise<'gone'> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve('gone');
    else signal.addEventListener('abort', () => resolve('gone'), { once: true });
  });

export interface UntilGoneOptions {
  /** The server closes. */
  readonly closing: AbortSignal;
  readonly heartbeatMs: number;
}

const askAgainMs = 5_000;

/** Aborted when the client is gone, the server closes, or the client's key is revoked or its login ends, within five seconds. */
export const untilGone = (
  request: FastifyRequest,
  reply: FastifyReply,
  { closing, heartbeatMs }: UntilGoneOptions,
): AbortSignal => {
  const gone = new AbortController();
  const ask = async (): Promise<void> => {
    if ((await request.staysAllowed?.()) === false) gone.abort();
  };
  const asking = setInterval(() => void ask(), Math.min(askAgainMs, heartbeatMs)).unref();
  reply.raw.once('close', () => gone.abort());
  gone.signal.addEventListener('abort', () => clearInterval(asking), { once: true });
  return AbortSignal.any([gone.signal, closing]);
};

const linesOf = ({ id, event, data }: ServerSentEvent): string =>
  Object.entries({ id, event, data })
    .map(([field, value]) => (value === undefined ? '' : `${field}: ${value}\n`))
    .join('');

const silence = async (ms: number, signal: AbortSignal): Promise<'silence'> => {
  await delay(ms, undefined, { signal }).catch(() => undefined);
  return 'silence';
};

/**
 * Server-sent events (WHATWG HTML, 9.2) from a source, with a comment line at once, so that the client knows that it is
 * connected, and whenever the source is silent for `heartbeatMs`.
 * Ends with the source or with `signal`; either way the source is closed.
 */
export async function* eventStream<T>(
  source: AsyncIterable<T>,
  options: EventStreamOptions<T>,
): AsyncGenerator<string> {
  const { signal, heartbeatMs, format } = options;
  const iterator = source[Symbol.asyncIterator]();
  const gone = aborted(signal);
  try {
    yield ': alive\n\n';
    let next = iterator.next();
    for (;;) {
      const heard = new AbortController();
      const step: Step<T> = await Promise.race([next, gone, silence(heartbeatMs, heard.signal)]);
      heard.abort();
      if (step === 'gone') return;
      if (step === 'silence') {
        yield ': alive\n\n';
        continue;
      }
      if (step.done) return;
      yield `${linesOf(format(step.value))}\n`;
      next = iterator.next();
    }
  } finally {
    void iterator.return?.(undefined)?.catch(() => undefined);
  }
}
