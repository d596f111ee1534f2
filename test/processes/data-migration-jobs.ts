import { defineJobs } from '../../src/treadle.ts';
import { doubleValues } from '../lib/migrations/items.ts';

const whole = doubleValues();
const holdAt = Number(process.env['TEST_HOLD_AT'] ?? Number.NaN);

/** With TEST_HOLD_AT the process stands still in the batch that has this cursor, its changes made and not committed. */
export default defineJobs({
  dataMigrations: [
    doubleValues({
      batchSize: 5,
      count: async (db) => {
        const { rows } = await db.query<{ left: number }>(
          'SELECT count(*)::int AS left FROM public.items WHERE value < id * 2',
        );
        return rows[0]?.left ?? 0;
      },
      up: async (batch) => {
        const answer = await whole.up(batch);
        if (batch.cursor === holdAt) await batch.tx.query(`SELECT pg_sleep(50) AS "holding on"`);
        return answer;
      },
    }),
  ],
});
