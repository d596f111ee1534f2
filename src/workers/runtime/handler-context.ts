import type { Log } from '../../lib/log/create-log.ts';
import type { JobChildren, JobContext } from '../../queues/handle.ts';
import type { HandlerRun } from './handler-call.ts';

/** What is made when a handler first asks for it: most never do. */
export interface MadeOnDemand {
  readonly signal: () => AbortSignal;
  readonly log: () => Log;
}

/**
 * What a handler is called with. Its getters belong to the class: an object with getters of its own has a hidden class
 * of its own, which V8 keeps until its next full collection, together with all that the getters refer to.
 */
export class HandlerContext implements JobContext {
  readonly payload: JobContext['payload'];
  readonly platform: JobContext['platform'];
  readonly job: JobContext['job'];
  readonly progress: JobContext['progress'];
  readonly completeIn: JobContext['completeIn'];
  readonly #run: HandlerRun;
  readonly #made: MadeOnDemand;
  #log: Log | undefined;
  #children: JobChildren | undefined;

  constructor(run: HandlerRun, payload: JobContext['payload'], made: MadeOnDemand) {
    this.payload = payload;
    this.platform = run.platform;
    this.job = run.job;
    this.progress = run.progress;
    this.completeIn = run.completeIn;
    this.#run = run;
    this.#made = made;
  }

  get signal(): AbortSignal {
    return this.#made.signal();
  }

  get log(): Log {
    this.#log ??= this.#made.log();
    return this.#log;
  }

  get children(): JobChildren {
    this.#children ??= this.#run.children();
    return this.#children;
  }
}
