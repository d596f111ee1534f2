import { setTimeout as delay } from 'node:timers/promises';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { eventChannel } from './event-log.ts';

/** Between two words of one process: a NOTIFY makes commits wait for each other. */
const pauseMs = 5;

/**
 * Wakes followers after a commit, in a statement of its own, and once for all that is published in a few milliseconds. One
 * that gets lost costs them the time to their next look.
 */
export class EventAnnouncer {
  readonly #db: Queryable;
  #wanted = false;
  #telling: Promise<void> | undefined;

  constructor(db: Queryable) {
    this.#db = db;
  }

  announce(): void {
    this.#wanted = true;
    this.#telling ??= this.#tell().finally(() => {
      this.#telling = undefined;
    });
  }

  async close(): Promise<void> {
    await this.#telling;
  }

  async #tell(): Promise<void> {
    while (this.#wanted) {
      this.#wanted = false;
      await this.#db.query('SELECT pg_notify($1, $2)', [eventChannel, '']).catch(() => undefined);
      await delay(pauseMs);
    }
  }
}
