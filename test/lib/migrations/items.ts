import { defineDataMigration, type DataMigration } from '../../../src/lib/migrations/data/define-data-migration.ts';
import type { Queryable } from '../../../src/lib/postgres/queryable.ts';

/** Rows whose value a data migration doubles, so that what is done twice shows. */
export const makeItems = async (db: Queryable, count: number): Promise<void> => {
  await db.query('DROP TABLE IF EXISTS public.items');
  await db.query('CREATE TABLE public.items (id integer PRIMARY KEY, value integer NOT NULL)');
  await db.query('INSERT INTO public.items SELECT n, n FROM generate_series(1, $1::int) AS n', [count]);
};

/** The values of the items divided by their ids: 1 for one that is as it was, 2 for one that was doubled once. */
export const factors = async (db: Queryable): Promise<Readonly<Record<string, number>>> => {
  const { rows } = await db.query<{ factor: number; items: number }>(
    'SELECT value / id AS factor, count(*)::int AS items FROM public.items GROUP BY 1 ORDER BY 1',
  );
  return Object.fromEntries(rows.map(({ factor, items }) => [factor, items]));
};

/** Keeps one item from being doubled. */
export const spareItem = async (db: Queryable, id: number): Promise<void> => {
  await db.query(
    `CREATE OR REPLACE FUNCTION public.spare() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
     CREATE TRIGGER spare BEFORE UPDATE ON public.items FOR EACH ROW WHEN (OLD.id = ${id}) EXECUTE FUNCTION public.spare()`,
  );
};

type Parts = Partial<Pick<DataMigration, 'up' | 'down' | 'validate' | 'count' | 'batchSize' | 'name'>>;

export const doubleValues = ({ count, ...parts }: Parts = {}): DataMigration =>
  defineDataMigration({
    name: 'double-values',
    description: 'every value twice as large',
    batchSize: 10,
    up: async ({ tx, cursor, limit, remember }) => {
      const { rows } = await tx.query<{ id: number; value: number }>(
        `UPDATE public.items SET value = value * 2
         WHERE id IN (SELECT id FROM public.items WHERE id > coalesce($1::int, 0) ORDER BY id LIMIT $2)
         RETURNING id, value`,
        [cursor, limit],
      );
      await remember(rows.map(({ id, value }) => ({ key: String(id), before: value / 2, after: value })));
      return { cursor: rows.length === 0 ? null : Math.max(...rows.map(({ id }) => id)), changed: rows.length };
    },
    down: async ({ tx, changes }) => {
      const { rowCount } = await tx.query(
        `UPDATE public.items AS i SET value = was.before
         FROM jsonb_to_recordset($1) AS was (key text, before int, after int)
         WHERE i.id = was.key::int AND i.value = was.after`,
        [JSON.stringify(changes)],
      );
      return { undone: rowCount ?? 0 };
    },
    validate: async (db) => {
      const { rows } = await db.query('SELECT id FROM public.items WHERE value < id * 2 ORDER BY id LIMIT 3');
      return rows.map(({ id }) => `item ${id} was left out`);
    },
    ...(count ? { count } : {}),
    ...parts,
  });
