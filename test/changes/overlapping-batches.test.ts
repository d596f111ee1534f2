import { describe, expect, test } from 'vitest';
import type { AppliedBatch, Sink } from '../../src/changes/change-batch.ts';
import type { Replicator } from '../../src/changes/replicator.ts';
import { items, useItems } from './use-items.ts';

const { database, start, streaming } = useItems();

describe('batches of a sink that takes two at once', () => {
  /** Ends a batch when it is told to. */
  class Held implements Sink {
    readonly name = 'held';
    readonly watches = [items];
    readonly batchesAtOnce = 2;
    readonly given: { readonly batch: AppliedBatch; readonly finish: (failure?: Error) => void }[] = [];
    isOpen = false;

    apply(batch: AppliedBatch, signal: AbortSignal): Promise<void> {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      signal.addEventListener('abort', () => reject(new Error('the replicator is closed')));
      const finish = (failure?: Error): void => (failure ? reject(failure) : resolve());
      this.given.push({ batch, finish });
      if (this.isOpen) finish();
      return promise;
    }

    open(): void {
      this.isOpen = true;
      for (const { finish } of this.given) finish();
    }

    async startOver(): Promise<void> {}
  }

  /** A transaction may be taken in pieces. */
  const given = async (held: Held, batches: number): Promise<void> => {
    await expect.poll(() => held.given.length, { timeout: 20_000, interval: 10 }).toBeGreaterThanOrEqual(batches);
  };
  const idsOf = ({ given: all }: Held, place: number): readonly string[] =>
    all[place]?.batch.entities.map(({ id }) => id) ?? [];
  const positionOf = (replicator: Replicator): bigint => replicator.status.sinks[0]?.position ?? 0n;
  /** It has looked for a backlog, and takes batches from here on. */
  const following = async (replicator: Replicator): Promise<void> => {
    await streaming(replicator);
    await expect.poll(() => replicator.status.sinks[0]?.state, { interval: 10 }).toBe('following');
  };
  const insert = (from: number, to: number): Promise<unknown> =>
    database.query(`INSERT INTO public.item SELECT 'w', n FROM generate_series($1::integer, $2) AS n`, [from, to]);
  // A second batch has to be worth it: of a tenth.
  const limits = { patienceMs: 200, maxWaiting: 100 };
  // A mark in between would wake the sink in the middle of a transaction.
  const heartbeatMs = 60_000;

  test('overlap, and are reported in their order, whichever ends first', async () => {
    const held = new Held();
    const replicator = start([held], { limits, heartbeatMs });
    await following(replicator);
    await insert(1, 1);
    await given(held, 1);
    const before = positionOf(replicator);
    await insert(2, 21);
    await given(held, 2);
    const already = held.given.length;
    for (const { finish } of held.given.slice(1)) finish();
    await insert(30, 49);
    await given(held, already + 1);
    expect(positionOf(replicator)).toBe(before);
    held.open();
    await expect.poll(() => positionOf(replicator), { interval: 10 }).toBeGreaterThan(before);
  });

  test('and the older one that fails is offered again alone', async () => {
    const held = new Held();
    const replicator = start([held], { limits: { ...limits, patienceMs: 20_000 }, heartbeatMs });
    await following(replicator);
    await insert(1, 1);
    await given(held, 1);
    await insert(2, 21);
    await given(held, 2);
    held.given[0]?.finish(new Error('held is down'));
    for (const { finish } of held.given.slice(1)) finish();
    await insert(30, 49);
    const again = (): number => held.given.findLastIndex((_, place) => place > 0 && idsOf(held, place).join() === '1');
    await expect.poll(again, { timeout: 20_000, interval: 10 }).toBeGreaterThan(0);
    expect(again()).toBe(held.given.length - 1);
    held.open();
    const told = (): number => new Set(held.given.flatMap((_, place) => idsOf(held, place))).size;
    await expect.poll(told, { timeout: 20_000, interval: 10 }).toBe(41);
  });

  test('never overlap where they share a transaction, whose rows have one version', async () => {
    const held = new Held();
    const replicator = start([held], { limits, heartbeatMs });
    await following(replicator);
    await insert(1, 1_000);
    await given(held, 1);
    const at = (place: number): bigint | undefined => held.given[place]?.batch.version;
    for (let place = 0; held.given.reduce((sum, { batch }) => sum + batch.entities.length, 0) < 1_000; place += 1) {
      await given(held, place + 1);
      expect(at(place)).toBe(at(0));
      held.given[place]?.finish();
      await given(held, place + 2);
    }
    held.open();
  });
});
