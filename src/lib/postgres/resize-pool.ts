import type { Pool } from 'pg';

/** Lets a pool shrink: while it has more connections than `max`, each that comes back is closed. */
export const closeSurplus = (pool: Pool): void => {
  pool.on('release', () => {
    // Read by the pool right after this event, of the one connection that comes back.
    pool.options.maxUses = pool.totalCount > pool.options.max ? 1 : Infinity;
  });
};

/** Takes a connection and gives it back, upon which the pool closes it or serves who waits. One that cannot be made is not missed. */
const touch = async (pool: Pool): Promise<void> => {
  const client = await pool.connect().catch(() => undefined);
  client?.release();
};

/**
 * Changes how many connections the pool may have, at once: who waits gets those that are new, idle ones that are too many
 * are closed, and busy ones when they come back. Asks for {@link closeSurplus} at the pool's making.
 */
export const resizePool = (pool: Pool, max: number): void => {
  pool.options.max = max;
  const surplus = Math.min(pool.idleCount, pool.totalCount - max);
  const wanted = Math.min(pool.waitingCount, max - pool.totalCount);
  for (let left = Math.max(surplus, wanted); left > 0; left -= 1) void touch(pool);
};
