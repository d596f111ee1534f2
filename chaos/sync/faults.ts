import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../random.ts';
import type { AppProcess } from '../app/processes.ts';
import type { SyncWorld } from './world.ts';

/** Longer than a replicator may be silent before another takes its place. */
const frozenMs = 5_000;
const takenOverWithinMs = 30_000;

/** The process that streams; undefined while none does. */
const streamer = async ({ query, processes }: SyncWorld): Promise<AppProcess | undefined> => {
  const [row] = await query<{ pid: number }>(
    `SELECT split_part(process_id, ':', 2)::integer AS pid FROM treadle.change_stream WHERE state = 'streaming'`,
  );
  return processes.all('replicator').find(({ pid }) => pid === row?.pid);
};

const oneOf = async (world: SyncWorld, random: Random): Promise<AppProcess> => {
  const any = random.pick(world.processes.all('replicator'));
  return random.next() < 0.8 ? ((await streamer(world)) ?? any) : any;
};

const readerPid = async ({ query }: SyncWorld): Promise<number | undefined> => {
  const [row] = await query<{ pid: number | null }>(
    `SELECT active_pid AS pid FROM pg_replication_slots WHERE slot_type = 'logical' AND active_pid IS NOT NULL`,
  );
  return row?.pid ?? undefined;
};

/** Waits until somebody else reads the slot. */
const untilTakenOver = async (world: SyncWorld, before: number | undefined): Promise<void> => {
  for (const deadline = Date.now() + takenOverWithinMs; Date.now() < deadline; await delay(50)) {
    const now = await readerPid(world);
    if (now !== undefined && now !== before) return;
  }
  throw new Error('nobody took the place of the replicator that was frozen');
};

type MakeFault = (world: SyncWorld, random: Random) => Promise<void>;

const freeze: MakeFault = async (world) => {
  const { child } = (await streamer(world)) ?? {};
  const before = await readerPid(world);
  child?.kill('SIGSTOP');
  try {
    await delay(frozenMs);
    if (child) await untilTakenOver(world, before);
  } finally {
    child?.kill('SIGCONT');
  }
};

const faults = {
  'kill a replicator': async (world, random) => {
    await world.processes.end(await oneOf(world, random), 'SIGKILL');
    await delay(random.int(0, 500));
    await world.processes.replenish();
  },
  'kill both replicators': async (world, random) => {
    for (const one of world.processes.all('replicator')) await world.processes.end(one, 'SIGKILL');
    await delay(random.int(0, 2_000));
    await world.processes.replenish();
  },
  'freeze the replicator': freeze,
  'kill Elasticsearch': async ({ elasticsearch }, random) => {
    await elasticsearch.kill();
    await delay(random.int(0, 2_000));
    await elasticsearch.run();
  },
  'cut the stream': async ({ query }, random) => {
    for (let times = random.int(1, 3); times > 0; times -= 1) {
      await query(
        `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_type = 'logical' AND active_pid IS NOT NULL`,
      );
      await delay(random.int(0, 700));
    }
  },
  'cut the connections of the pools': async ({ query }) => {
    await query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'treadle%' AND backend_type = 'client backend'`,
    );
  },
  'cut everything': async ({ query }) => {
    await query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE application_name LIKE 'treadle%' AND (backend_type = 'client backend' OR pid IN (SELECT active_pid FROM pg_replication_slots))`,
    );
  },
} satisfies Readonly<Record<string, MakeFault>>;

export type FaultName = keyof typeof faults;
const isFaultName = (name: string): name is FaultName => name in faults;
const allFaults: readonly FaultName[] = Object.keys(faults).filter(isFaultName);

const shuffled = (random: Random, given: readonly FaultName[]): readonly FaultName[] => {
  const names = [...given];
  for (let at = names.length - 1; at > 0; at -= 1) {
    const other = random.int(0, at);
    const [one, two] = [names[at], names[other]];
    if (one && two) [names[at], names[other]] = [two, one];
  }
  return names;
};

/** Each fault so many times, in an order drawn anew for each round, with a moment of quiet between. */
export const makeFaults = async (
  world: SyncWorld,
  random: Random,
  { rounds, only = allFaults }: { readonly rounds: number; readonly only?: readonly FaultName[] | undefined },
  onFault: (name: string) => void,
): Promise<void> => {
  for (let round = 0; round < rounds; round += 1) {
    for (const name of shuffled(random, only)) {
      await delay(random.int(100, 1_500));
      onFault(name);
      await faults[name](world, random);
    }
  }
};

/** Holds the standby up again and again, and all who wait for it to have their commits. */
export const delayStandby = async (
  standbyPid: () => Promise<number | undefined>,
  random: Random,
  signal: AbortSignal,
): Promise<void> => {
  while (!signal.aborted) {
    const pid = await standbyPid();
    if (pid !== undefined) {
      process.kill(pid, 'SIGSTOP');
      await delay(random.int(150, 500));
      process.kill(pid, 'SIGCONT');
    }
    await delay(random.int(20, 150));
  }
};
