import { completed, handle, permanent } from 'treadle';
import { announceShipping, confirmOrder, reportDay } from './contracts.ts';
import { sendMail } from './send-mail.ts';

interface Order {
  readonly [column: string]: unknown;
  readonly email: string;
  readonly item: string;
}

const orderById = 'SELECT email, item FROM public.orders WHERE id = $1';

export const confirmOrderHandler = handle(confirmOrder, async ({ payload, platform, signal, completeIn }) => {
  const { rows } = await platform.postgres.query<Order>(orderById, [payload.orderId]);
  const [order] = rows;
  if (!order) return permanent(new Error('there is no such order'));
  await sendMail({ to: order.email, subject: `We have your order: ${order.item}` }, signal);
  // The mark and the end of the job are one transaction: there is never one without the other.
  return platform.postgres.transaction(async (tx) => {
    await tx.query('UPDATE public.orders SET confirmed_at = now() WHERE id = $1', [payload.orderId]);
    return completeIn(tx, { to: order.email });
  });
});

export const announceShippingHandler = handle(announceShipping, async ({ payload, platform, signal }) => {
  const { rows } = await platform.postgres.query<Order>(orderById, [payload.orderId]);
  const [order] = rows;
  if (!order) return permanent(new Error('there is no such order'));
  await sendMail({ to: order.email, subject: `On its way: ${order.item}` }, signal);
  return completed({ to: order.email });
});

export const reportDayHandler = handle(reportDay, async ({ platform, log }) => {
  const { rows } = await platform.postgres.query<{ orders: number }>(
    `SELECT count(*)::integer AS orders FROM public.orders WHERE confirmed_at > now() - interval '1 day'`,
  );
  const orders = rows[0]?.orders ?? 0;
  log.info({ event: 'orders.day', orders });
  return completed({ orders });
});
