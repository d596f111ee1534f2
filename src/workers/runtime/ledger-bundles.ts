import { GroupCommit } from '../../lib/batching/group-commit.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Transports } from '../../queues/open-transports.ts';
import { transportIdOf, type BundleLedger, type Delivery } from '../../queues/transport.ts';

interface OpenRow extends Record<string, unknown> {
  readonly id: string;
  readonly returns: number;
  readonly bundle: string | null;
  readonly cancel_requested: boolean;
}

interface Question {
  readonly bundle: string;
  readonly items: readonly Delivery[];
}

/** What is asked in the same moment about several bundles is one statement. */
const mostBundles = 100;

/** Asks and tells the ledger about the jobs of bundles. */
export class LedgerBundles implements BundleLedger {
  readonly #postgres: Postgres;
  readonly #transports: Transports;
  readonly #questions: GroupCommit<Question, readonly Delivery[]>;

  constructor(postgres: Postgres, transports: Transports, log: Log) {
    this.#postgres = postgres;
    this.#transports = transports;
    this.#questions = new GroupCommit({
      maxBatch: mostBundles,
      writers: 2,
      onConnectionError: (error) => log.warn({ event: 'ledger.unreachable', err: error }),
      write: (asked) => this.#admitAll(asked),
    });
  }

  admit(bundle: string, items: readonly Delivery[]): Promise<readonly Delivery[]> {
    return this.#questions.submit({ bundle, items });
  }

  async split(bundle: string, items: readonly Delivery[]): Promise<void> {
    const open = await this.admit(bundle, items);
    const [some] = open;
    if (!some) return;
    const transport = await this.#transports.of(some.queue);
    // First the entries, then the ledger: whoever dies in between leaves the bundle, which is split again.
    await transport.add(
      open.map(({ jobId, name, envelope }) => ({
        id: transportIdOf(jobId, envelope.returns),
        name,
        envelope: { ...envelope, unsure: true },
      })),
    );
    await this.#postgres.query('UPDATE treadle.jobs SET bundle = NULL WHERE id = ANY ($1) AND bundle = $2', [
      open.map(({ jobId }) => jobId),
      bundle,
    ]);
  }

  close(): Promise<void> {
    return this.#questions.close();
  }

  async #admitAll(asked: readonly Question[]): Promise<readonly (readonly Delivery[])[]> {
    const ids = asked.flatMap(({ items }) => items.map(({ jobId }) => jobId));
    const { rows } = await this.#postgres.queryPrepared<OpenRow>(
      'SELECT id, returns, bundle, cancel_requested FROM treadle.jobs WHERE id = ANY ($1)',
      [`{${ids.join(',')}}`],
    );
    const open = new Map(rows.map((row) => [row.id, row]));
    return asked.map(({ bundle, items }) =>
      items.flatMap((item) => {
        const row = open.get(item.jobId);
        if (row?.bundle !== bundle || row.returns !== item.envelope.returns) return [];
        return row.cancel_requested ? { ...item, startedBefore: true } : item;
      }),
    );
  }
}
