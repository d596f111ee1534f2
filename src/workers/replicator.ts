import { createSinks } from '../changes/create-sinks.ts';
import { Replicator } from '../changes/replicator.ts';
import { streamMetrics } from '../changes/stream-metrics.ts';
import { dropSlot, readSlot, slotNameOf } from '../lib/replication/slot.ts';
import type { Platform } from '../platform.ts';
import type { RunningRole } from './running-role.ts';

const silentMs = 60_000;

/** A slot that nobody reads keeps the server's log from being cleared away. */
const dropUnused = async ({ postgres, log }: Platform, slot: string): Promise<void> => {
  const found = await readSlot(postgres, slot);
  if (found?.activePid !== null) return;
  log.warn({ event: 'replicator.slot-dropped', slot });
  await dropSlot(postgres, slot);
};

/** Follows the change stream, or stands by to take the place of the process that does. */
export const startReplicator = async (platform: Platform): Promise<RunningRole> => {
  const { postgres, log, processId, meter, loops } = platform;
  const slot = await slotNameOf(postgres);
  const { sinks, publications } = createSinks(platform);
  if (sinks.length === 0) {
    await dropUnused(platform, slot).catch((error: unknown) => {
      log.warn({ event: 'replicator.slot-not-dropped', slot, err: error });
    });
    log.info({ event: 'replicator.nothing-to-follow' });
    return { close: () => Promise.resolve() };
  }
  const loop = loops.watch('replicator', silentMs);
  const replicator = new Replicator({ postgres, log, sinks, publications, slot, processId, loop });
  const stopMeasuring = meter.addSource('changes', streamMetrics({ replicator, postgres, slot }));
  replicator.start();
  log.info({ event: 'replicator.started', slot });
  return {
    close: async () => {
      stopMeasuring();
      await replicator.close();
    },
  };
};
