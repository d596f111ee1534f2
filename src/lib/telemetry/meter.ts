import type { Log } from '../log/create-log.ts';
import { Count, Distribution } from './metric-values.ts';
import { metricText, type Labels, type Metric, type Sample } from './metric-text.ts';

export const metricsContentType = 'text/plain; version=0.0.4; charset=utf-8';

/** Values of one metric, one for each combination of labels. */
export interface Family<T> {
  /** The value with these labels, to be kept by whoever writes it often. The set of labels must be bounded. */
  with(labels: Labels): T;
}

/** Reads what is not counted but looked up, at each scrape. */
export type MetricSource = () => readonly Metric[] | Promise<readonly Metric[]>;

interface ProcessMetrics {
  readonly metrics: () => Promise<string>;
}

const keyOf = (labels: Labels): string => Object.values(labels).join('\0');

const samplesOf = (labels: Labels, { bounds, counts, sum }: Distribution): readonly Sample[] => {
  let total = 0;
  const buckets = counts.map((count, index): Sample => {
    total += count;
    const le = index < bounds.length ? String(bounds[index]) : '+Inf';
    return { suffix: '_bucket', labels: { ...labels, le }, value: total };
  });
  return [...buckets, { suffix: '_sum', labels, value: sum }, { suffix: '_count', labels, value: total }];
};

/**
 * The metrics of a process. Counting is an addition in memory, so that it may be done for every job; text is made, and
 * the library for the metrics of the process itself loaded, when somebody asks.
 */
export class Meter {
  readonly #log: Log;
  readonly #sources = new Map<string, MetricSource>();
  #process: Promise<ProcessMetrics> | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  counter(name: string, help: string): Family<Count> {
    return this.#family(
      () => new Count(),
      (all) => ({ name, help, type: 'counter', samples: all.map(([labels, { value }]) => ({ labels, value })) }),
      name,
    );
  }

  /** `bounds`: the upper ends of all buckets but the last, ascending. */
  histogram(name: string, help: string, bounds: readonly number[]): Family<Distribution> {
    return this.#family(
      () => new Distribution(bounds),
      (all) => ({ name, help, type: 'histogram', samples: all.flatMap(([labels, value]) => samplesOf(labels, value)) }),
      name,
    );
  }

  /** Reads `source` at each scrape until the answered function is called. One that fails leaves its metrics out. */
  addSource(name: string, source: MetricSource): () => void {
    this.#sources.set(name, source);
    return () => {
      if (this.#sources.get(name) === source) this.#sources.delete(name);
    };
  }

  /** Everything in the text format of Prometheus, with the process' own memory, CPU and event loop. */
  async expose(): Promise<string> {
    const metrics = await Promise.all([...this.#sources].map(([name, source]) => this.#read(name, source)));
    this.#process ??= openProcessMetrics();
    const known = metrics.flat().filter(({ samples }) => samples.length > 0);
    return `${metricText(known)}\n${await (await this.#process).metrics()}`;
  }

  async #read(name: string, source: MetricSource): Promise<readonly Metric[]> {
    try {
      return await source();
    } catch (error) {
      this.#log.warn({ event: 'metrics.source-failed', source: name, err: error });
      return [];
    }
  }

  #family<T>(create: () => T, read: (all: readonly (readonly [Labels, T])[]) => Metric, name: string): Family<T> {
    const all = new Map<string, readonly [Labels, T]>();
    this.#sources.set(name, () => [read([...all.values()])]);
    return {
      with: (labels) => {
        const key = keyOf(labels);
        const [, value] = all.get(key) ?? [labels, create()];
        all.set(key, [labels, value]);
        return value;
      },
    };
  }
}

const openProcessMetrics = async (): Promise<ProcessMetrics> => {
  const { collectDefaultMetrics, Registry } = await import('prom-client');
  const register = new Registry();
  collectDefaultMetrics({ register });
  return register;
};
