import { fileURLToPath } from 'node:url';
import { MessagePort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { AppError, validationError } from '../../lib/errors/app-error.ts';
import { faultsOf } from '../../lib/errors/zod-faults.ts';
import { createLog } from '../../lib/log/create-log.ts';
import { serializeOrThrow } from '../../queues/enqueue/serialize-payload.ts';
import { isOutcome, OutcomeError, type Outcome } from '../../queues/outcome.ts';
import { secretsIn } from '../../queues/payloads/hide-values.ts';
import type { ThreadHandler } from '../../queues/thread-handler.ts';
import { bindLog } from '../runtime/bind-log.ts';
import { AttemptAborted } from '../runtime/outcome-of.ts';
import { toThread, type FromThread, type ToThread } from './thread-messages.ts';
import { signalThatLooks } from './thread-signal.ts';
import { wireErrorOf } from './wire-error.ts';

// What runs in a thread of a worker: loads the modules of handlers and runs one job after the other.

type RunRequest = Extract<ToThread, { kind: 'run' }>;

const isThreadHandler = (value: unknown): value is ThreadHandler =>
  typeof value === 'object' &&
  value !== null &&
  'run' in value &&
  typeof value.run === 'function' &&
  'contract' in value &&
  typeof value.contract === 'object' &&
  value.contract !== null &&
  'name' in value.contract &&
  'payload' in value.contract;

const wrongModule = (text: string, cause?: unknown): AppError =>
  new AppError('CONFIGURATION_ERROR', text, {}, { cause });

const load = async ({ module, name }: { readonly module: string; readonly name: string }): Promise<ThreadHandler> => {
  const file = fileURLToPath(module);
  let exported: unknown;
  try {
    ({ default: exported } = await import(module));
  } catch (error) {
    const { message } = wireErrorOf(error);
    throw wrongModule(`the module of ${name}, ${file}, does not load: ${message}`, error);
  }
  if (!isThreadHandler(exported)) {
    throw wrongModule(`the module of ${name}, ${file}, must export by default what threadHandler(contract, run) makes`);
  }
  if (exported.contract.name !== name) {
    throw wrongModule(`the module of ${name}, ${file}, is made for ${exported.contract.name}`);
  }
  return exported;
};

/** One run of a handler. */
class ThreadRun {
  readonly #controller = new AbortController();
  readonly #request: RunRequest;
  readonly #say: (message: FromThread) => void;
  #over = false;

  constructor(request: RunRequest, say: (message: FromThread) => void) {
    this.#request = request;
    this.#say = say;
  }

  abort({ cause, message }: Extract<ToThread, { kind: 'abort' }>): void {
    if (!this.#over) this.#controller.abort(new AttemptAborted(cause, message));
  }

  /** `look` asks for word of an abort without waiting for an event. */
  async answer(look: () => void): Promise<FromThread> {
    const { job, payload, logLevel } = this.#request;
    try {
      const handler = await load(this.#request);
      const parsed = handler.contract.payload.safeParse(payload);
      if (!parsed.success) throw validationError(`the payload of ${job.name}`, faultsOf(parsed.error));
      const outcome: unknown = await handler.run({
        payload: parsed.data,
        job,
        signal: signalThatLooks(this.#controller, look),
        log: bindLog(
          createLog({ level: logLevel }),
          { job: job.name, jobId: job.id, attempt: job.attempt },
          secretsIn(payload, handler.contract),
        ),
        progress: (fraction, note) => {
          if (!this.#over) this.#say({ kind: 'progress', fraction, ...(note === undefined ? {} : { note }) });
        },
      });
      return this.#answerTo(outcome);
    } catch (error) {
      return error instanceof OutcomeError ? endedAs(error.outcome) : { kind: 'threw', error: wireErrorOf(error) };
    } finally {
      this.#over = true;
    }
  }

  #answerTo(outcome: unknown): FromThread {
    const { name } = this.#request;
    if (!isOutcome(outcome)) {
      throw validationError(`what the handler of ${name} answers`, [
        { path: '', message: 'must be an outcome, such as completed(result) makes' },
      ]);
    }
    if (outcome.kind !== 'completed') return endedAs(outcome);
    return { kind: 'completed', resultJson: serializeOrThrow(outcome.result ?? null, `the result of ${name}`) };
  }
}

const endedAs = (outcome: Outcome): FromThread =>
  'error' in outcome
    ? { kind: 'ended', outcome: { ...outcome, error: undefined }, error: wireErrorOf(outcome.error) }
    : { kind: 'ended', outcome };

const listen = (port: MessagePort): void => {
  let current: ThreadRun | undefined;
  const say = (message: FromThread): void => port.postMessage(message);
  const sayAnswer = (answer: FromThread, name: string): void => {
    try {
      say(answer);
    } catch (error) {
      // Structured clone refuses what an outcome holds, such as a function where a delay should be.
      const { message } = wireErrorOf(error);
      const refused = validationError(`what the handler of ${name} answers`, [{ path: '', message }]);
      say({ kind: 'threw', error: wireErrorOf(refused) });
    }
  };
  const look = (): void => {
    for (let next = receiveMessageOnPort(port); next; next = receiveMessageOnPort(port)) take(next.message);
  };
  const take = (received: unknown): void => {
    const message = toThread.parse(received);
    switch (message.kind) {
      case 'abort':
        current?.abort(message);
        return;
      case 'load':
        void load(message).then(
          () => say({ kind: 'loaded' }),
          (error: unknown) => say({ kind: 'threw', error: wireErrorOf(error) }),
        );
        return;
      case 'run':
        current = new ThreadRun(message, say);
        void current.answer(look).then((answer) => sayAnswer(answer, message.name));
        return;
      default:
        message satisfies never;
    }
  };
  port.on('message', take);
};

const port: unknown = workerData;
if (!(port instanceof MessagePort)) throw new Error('this module runs in a thread that a worker started');
listen(port);
