import { Pool } from 'pg';
import { connectTreadle } from 'treadle/client';
import { confirmOrder } from './contracts.ts';

const [email = 'ada@example.org', item = 'a loom', last = ''] = process.argv.slice(2);
const pool = new Pool({ connectionString: process.env['DATABASE_URL'] });
const treadle = connectTreadle({ pool });

/** The order and its job: both, or neither. */
const placeOrder = async (): Promise<string> => {
  const tx = await pool.connect();
  try {
    await tx.query('BEGIN');
    const { rows } = await tx.query<{ id: string }>(
      'INSERT INTO public.orders (email, item) VALUES ($1, $2) RETURNING id',
      [email, item],
    );
    const orderId = rows[0]?.id ?? '';
    const job = await treadle.enqueue(confirmOrder, { orderId }, { tx, tags: ['shop'] });
    if (last === '--and-fail') throw new Error('something else went wrong');
    await tx.query('COMMIT');
    return job.id;
  } catch (error) {
    await tx.query('ROLLBACK');
    throw error;
  } finally {
    tx.release();
  }
};

try {
  const id = await placeOrder();
  console.log(`ordered; the confirmation is job ${id}`);
  const job = await treadle.wait(confirmOrder, id, { timeoutMs: 30_000 });
  console.log(`the job is ${job?.state ?? 'unknown'}; a mail went to ${job?.result?.to ?? 'nobody yet'}`);
} catch (error) {
  console.log(`not ordered: ${error instanceof Error ? error.message : 'unknown error'}`);
  process.exitCode = 1;
} finally {
  await treadle.close();
  await pool.end();
}
