import { beforeEach, describe, expect, it } from 'vitest';
import { applyDataMigration } from '../../../src/lib/migrations/data/apply-data-migration.ts';
import { findRecord } from '../../../src/lib/migrations/data/data-migration-record.ts';
import type { DataMigration } from '../../../src/lib/migrations/data/define-data-migration.ts';
import type { DataMigrationProgress, RunEnd } from '../../../src/lib/migrations/data/run-steps.ts';
import { takeBackDataMigration } from '../../../src/lib/migrations/data/take-back-data-migration.ts';
import { tryDataMigration, tryTakingBack } from '../../../src/lib/migrations/data/try-data-migration.ts';
import { useDatabase } from '../../services/database.ts';
import { doubleValues, factors, makeItems, spareItem } from './items.ts';

const database = useDatabase();
const forever = new AbortController().signal;
const up = (migration: DataMigration, signal = forever): Promise<RunEnd> =>
  applyDataMigration(migration, { postgres: database.postgres, signal });
const down = (migration: DataMigration, signal = forever): Promise<RunEnd> =>
  takeBackDataMigration(migration, { postgres: database.postgres, signal });
const recordOf = ({ name }: DataMigration) => findRecord(database.postgres, name);
const values = () => factors(database.postgres);
const changesKept = () => database.query('SELECT FROM treadle.data_migration_changes');

/** The same, but its batch of that number throws. */
const failingAt = (batch: number): DataMigration => {
  const whole = doubleValues();
  let batches = 0;
  return doubleValues({
    up: async (given) => {
      const answer = await whole.up(given);
      batches += 1;
      if (batches === batch) throw new Error('the disk is full');
      return answer;
    },
  });
};

beforeEach(async () => {
  await database.query('TRUNCATE treadle.data_migrations CASCADE');
  await makeItems(database.postgres, 35);
});

describe('up', () => {
  it('changes everything once, in batches, validates it, and has nothing to do the second time', async () => {
    const limits: number[] = [];
    const whole = doubleValues();
    const migration = doubleValues({
      up: async (batch) => {
        limits.push(batch.limit);
        return whole.up(batch);
      },
    });
    const { record, done } = await up(migration);
    expect(record).toMatchObject({ state: 'validated', changed: 35, cursor: null, error: null });
    expect(record.startedAt).toBeInstanceOf(Date);
    expect(record.finishedAt).toBeInstanceOf(Date);
    expect([done, limits]).toEqual([35, [10, 10, 10, 10, 10]]);
    expect(await up(migration)).toEqual({ record, done: 0 });
    expect(await values()).toEqual({ 2: 35 });
  });

  it('by five at once changes everything once, and all of them answer when it is valid', async () => {
    const ends = await Promise.all(Array.from({ length: 5 }, () => up(doubleValues({ batchSize: 2 }))));
    expect(ends.map(({ record }) => record.state)).toEqual(Array.from({ length: 5 }, () => 'validated'));
    expect(ends.reduce((sum, { done }) => sum + done, 0)).toBe(35);
    expect(await values()).toEqual({ 2: 35 });
  });

  it('rolls a batch that fails back, says why, and goes on with it the next time', async () => {
    await expect(up(failingAt(3))).rejects.toMatchObject({
      code: 'INTERNAL_ERROR',
      message: 'data migration double-values failed, and its last batch was rolled back: the disk is full',
    });
    expect(await recordOf(doubleValues())).toMatchObject({
      state: 'failed',
      error: 'the disk is full',
      cursor: 20,
      changed: 20,
      finishedAt: null,
    });
    expect(await values()).toEqual({ 1: 15, 2: 20 });
    expect(await changesKept()).toHaveLength(20);
    expect(await up(doubleValues())).toMatchObject({ record: { state: 'validated', changed: 35 }, done: 15 });
    expect(await values()).toEqual({ 2: 35 });
  });

  it('that is interrupted ends between two batches, and goes on there', async () => {
    const stop = new AbortController();
    const whole = doubleValues();
    const migration = doubleValues({
      up: async (batch) => {
        if (batch.cursor === 10) stop.abort(new Error('enough'));
        return whole.up(batch);
      },
    });
    await expect(up(migration, stop.signal)).rejects.toThrow('enough');
    expect(await recordOf(migration)).toMatchObject({ state: 'running', cursor: 20, error: null });
    expect(await up(whole)).toMatchObject({ record: { state: 'validated' }, done: 15 });
    expect(await values()).toEqual({ 2: 35 });
  });

  it('shows how far it is', async () => {
    const shown: DataMigrationProgress[] = [];
    const count = async (): Promise<number> => 35;
    const onProgress = (now: DataMigrationProgress): void => void shown.push(now);
    await applyDataMigration(doubleValues({ count }), { postgres: database.postgres, signal: forever, onProgress });
    const steps = [...new Set(shown.map(({ done, total }) => `${done}/${total}`))];
    expect(steps).toEqual(['0/35', '10/35', '20/35', '30/35', '35/35']);
  });
});

describe('validation', () => {
  it('that finds faults makes the migration fail; the next run only validates again', async () => {
    const migration = doubleValues();
    await spareItem(database.postgres, 7);
    await expect(up(migration)).rejects.toMatchObject({
      code: 'DATA_CONSISTENCY_ERROR',
      message: 'data migration double-values failed: item 7 was left out',
    });
    expect(await recordOf(migration)).toMatchObject({ state: 'failed', error: 'item 7 was left out', changed: 34 });
    expect(await tryDataMigration(migration, database.postgres)).toMatchObject({ faults: ['item 7 was left out'] });
    await expect(up(migration)).rejects.toThrow('item 7 was left out');
    await database.query('DROP TRIGGER spare ON public.items; UPDATE public.items SET value = 14 WHERE id = 7');
    expect(await up(migration)).toMatchObject({ record: { state: 'validated', error: null, changed: 34 }, done: 0 });
    expect(await values()).toEqual({ 2: 35 });
  });
});

describe('down', () => {
  it('undoes what up did, and nothing that others wrote before or since', async () => {
    const migration = doubleValues();
    await up(migration);
    await database.query('UPDATE public.items SET value = id * 5 WHERE id IN (3, 30)');
    await database.query('INSERT INTO public.items VALUES (100, 200)');
    expect(await down(migration)).toMatchObject({ record: { state: 'undone', changed: 0, cursor: null }, done: 33 });
    expect(await values()).toEqual({ 1: 33, 2: 1, 5: 2 });
    expect(await changesKept()).toEqual([]);
    expect(await down(migration)).toMatchObject({ record: { state: 'undone' }, done: 0 });
  });

  it('of one that came half-way undoes that half; then it can run again, from the start', async () => {
    await expect(up(failingAt(3))).rejects.toThrow('the disk is full');
    expect((await down(doubleValues())).done).toBe(20);
    expect(await values()).toEqual({ 1: 35 });
    expect(await up(doubleValues())).toMatchObject({ record: { state: 'validated', changed: 35 } });
  });

  it('that fails half-way is finished by the next, and up waits for that', async () => {
    await up(doubleValues());
    const whole = doubleValues();
    let batches = 0;
    const breaking = doubleValues({
      down: async (given) => {
        const answer = await whole.down(given);
        batches += 1;
        if (batches === 2) throw new Error('no');
        return answer;
      },
    });
    await expect(down(breaking)).rejects.toThrow('no');
    expect(await recordOf(whole)).toMatchObject({ state: 'undoing', error: 'no', changed: 25 });
    expect(await values()).toEqual({ 1: 10, 2: 25 });
    await expect(up(whole)).rejects.toThrow('is being taken back; finish that first');
    expect(await recordOf(whole)).toMatchObject({ state: 'undoing', error: 'no' });
    expect((await down(whole)).done).toBe(25);
    expect(await values()).toEqual({ 1: 35 });
  });

  it('by five at once, while another runs it up, ends with nothing changed', async () => {
    const whole = doubleValues();
    const begun = Promise.withResolvers<void>();
    const migration = doubleValues({
      batchSize: 1,
      up: async (batch) => {
        if (batch.cursor === 5) begun.resolve();
        return whole.up(batch);
      },
    });
    const running = up(migration);
    const outcome = running.then(
      () => 'done',
      (error: Error) => error.message,
    );
    await begun.promise;
    await Promise.all(Array.from({ length: 5 }, () => down(migration)));
    // Whichever comes between two of its batches, or only after the last.
    expect(await outcome).toMatch(/^done$|is being taken back|was taken back meanwhile/);
    expect(await values()).toEqual({ 1: 35 });
    expect((await recordOf(whole)).state).toBe('undone');
  });
});

describe('a dry run', () => {
  const everything = async (): Promise<unknown> => [
    await database.query('SELECT * FROM public.items ORDER BY id'),
    await database.query('SELECT * FROM treadle.data_migrations'),
    await changesKept(),
  ];

  it('says what the next batch would do, and changes nothing', async () => {
    const before = await everything();
    const count = async (): Promise<number> => 35;
    expect(await tryDataMigration(doubleValues({ count }), database.postgres)).toEqual({
      name: 'double-values',
      state: 'pending',
      left: 35,
      batch: 10,
      faults: [],
    });
    expect(await tryDataMigration(failingAt(1), database.postgres)).toMatchObject({ faults: ['the disk is full'] });
    expect(await everything()).toEqual(before);
  });

  it('of taking back says so too', async () => {
    const migration = doubleValues();
    await up(migration);
    const before = await everything();
    expect(await tryTakingBack(migration, database.postgres)).toEqual({
      name: 'double-values',
      state: 'validated',
      left: 35,
      batch: 10,
      faults: [],
    });
    expect(await everything()).toEqual(before);
  });
});

describe('a definition or an answer that does not fit', () => {
  it.each([
    [{ name: 'Not A Name' }, 'name: must be lower case letters'],
    [{ batchSize: 0 }, 'batchSize: '],
  ])('%j is refused', (parts, message) => {
    expect(() => doubleValues(parts)).toThrow(message);
  });

  it.each([
    [{ cursor: null }, 'changed: '],
    [{ cursor: null, changed: -1 }, 'changed: '],
    [{ cursor: new Date(), changed: 1 }, 'cursor: '],
    [undefined, 'the answer of up() of the data migration double-values'],
  ])('%j from up is named', async (given, message) => {
    const migration = doubleValues({ up: () => Promise.resolve(given as { cursor: null; changed: number }) });
    await expect(up(migration)).rejects.toThrow(message);
    expect(await recordOf(migration)).toMatchObject({ state: 'failed' });
  });

  it('a cursor that does not move is refused, rather than run for ever', async () => {
    const migration = doubleValues({ up: () => Promise.resolve({ cursor: { at: 1 }, changed: 0 }) });
    await expect(up(migration)).rejects.toThrow('would never end');
  });
});
