import { defineJob } from 'treadle';
import { z } from 'zod';

const payload = z.object({ orderId: z.uuid() });

/** Tells the customer that the order has come in. */
export const confirmOrder = defineJob({
  name: 'orders.confirm',
  queue: 'mail',
  payload,
  result: z.object({ to: z.string() }),
  attempts: 8,
  timeoutMs: 10_000,
  deduplicateBy: ['orderId'],
});

/** Tells the customer that the parcel is on its way. */
export const announceShipping = defineJob({
  name: 'orders.announce-shipping',
  queue: 'mail',
  payload,
  result: z.object({ to: z.string() }),
  attempts: 8,
  timeoutMs: 10_000,
});

/** Counts the orders of the last day. */
export const reportDay = defineJob({
  name: 'orders.report-day',
  payload: z.strictObject({}),
  result: z.object({ orders: z.number() }),
});
