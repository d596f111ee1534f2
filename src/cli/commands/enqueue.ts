import { Option } from 'commander';
import type { EnqueueOptions } from '../../queues/ports.ts';
import type { AddCommand } from '../add-command.ts';
import { delaySeconds, jsonObject, seconds, several, time, uuid, wholeNumber, type JsonObject } from '../arguments.ts';

interface Options {
  readonly delay?: number;
  readonly runAt?: Date;
  readonly debounce?: number;
  readonly debounceMax?: number;
  readonly throttle?: number;
  readonly priority?: number;
  readonly tenant?: string;
  readonly tag?: readonly string[];
  readonly attempts?: number;
  readonly timeout?: number;
  readonly deduplicationKey?: string;
  readonly idempotencyKey?: string;
  readonly parent?: string;
}

const toEnqueueOptions = ({
  delay,
  debounce,
  debounceMax,
  throttle,
  timeout,
  tag,
  ...rest
}: Options): EnqueueOptions => ({
  ...rest,
  ...(delay === undefined ? {} : { delayMs: delay }),
  ...(debounce === undefined ? {} : { debounceMs: debounce }),
  ...(debounceMax === undefined ? {} : { debounceMaxMs: debounceMax }),
  ...(throttle === undefined ? {} : { throttleMs: throttle }),
  ...(timeout === undefined ? {} : { timeoutMs: timeout }),
  ...(tag === undefined ? {} : { tags: tag }),
});

export const addEnqueue: AddCommand = (program, run) => {
  program
    .command('enqueue')
    .description('accept a job, to be run by the workers')
    .argument('<name>', "the job's name, such as embeddings.backfill")
    .argument('<json>', 'its payload, a JSON object; - reads it from standard input', jsonObject)
    .option('--delay <seconds>', 'run it so much later', delaySeconds)
    .addOption(new Option('--run-at <time>', 'run it at this time').argParser(time).conflicts('delay'))
    .addOption(
      new Option('--debounce <seconds>', 'run the last with its deduplication key, after so long without another')
        .argParser(delaySeconds)
        .conflicts(['delay', 'runAt', 'throttle']),
    )
    .option('--debounce-max <seconds>', 'with --debounce: so long after the first at the latest', delaySeconds)
    .addOption(
      new Option('--throttle <seconds>', 'run at most one with its deduplication key in so long; the last one always')
        .argParser(delaySeconds)
        .conflicts(['delay', 'runAt']),
    )
    .option('--priority <number>', '1 first … 9 last', wholeNumber(1, 9))
    .option('--tenant <tenant>', "whose turn it takes; the payload's workspace by default")
    .option('--tag <tag>', 'to find it by; may be given several times', several)
    .option('--attempts <count>', 'attempts in all', wholeNumber(1, 1_000))
    .option('--timeout <seconds>', 'the longest one attempt may run', seconds)
    .option('--deduplication-key <key>', 'a job that waits with the same key takes this payload instead')
    .option('--idempotency-key <key>', 'asking again with the same key answers the same job')
    .option('--parent <id>', 'the job this one belongs to', uuid)
    .addHelpText('after', `\nExample:\n  treadle enqueue embeddings.backfill '{"workspaceId": "…"}' --priority 2`)
    .action(
      run(async ({ platform, output }, name: string, payload: JsonObject, options: Options) => {
        const { enqueuer } = await platform();
        const job = await enqueuer.enqueueByName(
          { name, payload, options: toEnqueueOptions(options) },
          { idempotencyScope: 'cli' },
        );
        output.result(job, () => `Accepted job ${job.id} (${job.name}, queue ${job.queue}, ${job.state}).`);
      }),
    );
};
