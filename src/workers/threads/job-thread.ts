import path from 'node:path';
import { MessageChannel, receiveMessageOnPort, Worker, type MessagePort } from 'node:worker_threads';
import { AppError } from '../../lib/errors/app-error.ts';
import { codeOf } from '../../lib/errors/classify.ts';
import { wireErrorOf } from './wire-error.ts';
import { fromThread, type FromThread, type ToThread } from './thread-messages.ts';

export type Answer = Exclude<FromThread, { kind: 'progress' }>;

interface Asked {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
  readonly onProgress: (fraction: number, note?: string) => void;
}

// Compiled, this file and the thread's are .js.
const main = new URL(`./thread-main${path.extname(import.meta.url)}`, import.meta.url);

/** A thread that runs handlers, one request at a time. */
export class JobThread {
  readonly maxHeapMb: number | undefined;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  #asked: Asked | undefined;
  #failure: unknown;

  /** `onEnd` is called once, when the thread has ended for whatever reason. */
  constructor(maxHeapMb: number | undefined, onEnd: (thread: JobThread) => void) {
    this.maxHeapMb = maxHeapMb;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#worker = new Worker(main, {
      workerData: port2,
      transferList: [port2],
      ...(maxHeapMb === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: maxHeapMb } }),
    });
    port1.on('message', (message) => this.#take(message));
    this.#worker.on('error', (error) => {
      this.#failure = error;
    });
    this.#worker.once('exit', (code) => {
      // The answer may be on its way still.
      for (let next = receiveMessageOnPort(port1); next; next = receiveMessageOnPort(port1)) this.#take(next.message);
      port1.close();
      this.#asked?.reject(this.#endOf(code));
      onEnd(this);
    });
    // Threads that wait for work do not keep the process up.
    this.#worker.unref();
    port1.unref();
  }

  /** @throws AppError SERVICE_UNAVAILABLE when the thread ends instead of answering. */
  ask(request: ToThread, onProgress: Asked['onProgress'] = () => undefined): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#asked = { resolve, reject, onProgress };
      this.#worker.ref();
      this.#say(request);
    });
  }

  tell(message: Extract<ToThread, { kind: 'abort' }>): void {
    this.#say(message);
  }

  /** Ends the thread wherever it is. */
  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }

  #say(message: ToThread): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port between threads, not a window
    this.#port.postMessage(message);
  }

  #take(received: unknown): void {
    const { data: message } = fromThread.safeParse(received);
    const asked = this.#asked;
    // What handlers without types say of their progress may be anything.
    if (!message) return;
    if (message.kind === 'progress') {
      asked?.onProgress(message.fraction, message.note);
      return;
    }
    this.#asked = undefined;
    this.#worker.unref();
    asked?.resolve(message);
  }

  #endOf(code: number): AppError {
    const failure = this.#failure;
    const limit = this.maxHeapMb === undefined ? '' : ` of ${this.maxHeapMb} MiB`;
    const message =
      codeOf(failure) === 'ERR_WORKER_OUT_OF_MEMORY'
        ? `the thread of this job needed more memory than its limit${limit}`
        : failure === undefined
          ? `the thread of this job ended with exit code ${code}`
          : `the thread of this job ended by an exception that nobody caught: ${wireErrorOf(failure).message}`;
    return new AppError('SERVICE_UNAVAILABLE', message, {}, { cause: failure });
  }
}
