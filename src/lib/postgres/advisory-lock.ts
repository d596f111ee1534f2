import type pg from 'pg';

/** Numbers of Treadle's session-level advisory locks: the class (`TRDL` in ASCII) and one number a use. */
const lockClass = 0x5452444c;
export const advisoryLocks = { migrations: 1, relay: 2, dataDirectory: 3, maintenance: 4, contracts: 5 } as const;
export type AdvisoryLock = (typeof advisoryLocks)[keyof typeof advisoryLocks];

/** Takes the lock for the life of this connection if nobody has it. */
export const tryLock = async (client: pg.ClientBase, lock: AdvisoryLock): Promise<boolean> => {
  const { rows } = await client.query<{ locked: boolean }>('SELECT pg_try_advisory_lock($1, $2) AS locked', [
    lockClass,
    lock,
  ]);
  return rows[0]?.locked === true;
};

/** In ASCII `TRDI`: locks of one index each. */
const indexLockClass = 0x54524449;

/** Takes the lock of an index for the life of this connection if nobody has it. */
export const tryIndexLock = async (client: pg.ClientBase, index: string): Promise<boolean> => {
  const { rows } = await client.query<{ locked: boolean }>('SELECT pg_try_advisory_lock($1, hashtext($2)) AS locked', [
    indexLockClass,
    index,
  ]);
  return rows[0]?.locked === true;
};
