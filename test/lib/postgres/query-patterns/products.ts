import { beforeAll } from 'vitest';
import { defineTable } from '../../../../src/lib/postgres/query-patterns/table-definition.ts';
import { QueryPatterns } from '../../../../src/lib/postgres/query-patterns/query-patterns.ts';
import { useDatabase } from '../../../services/database.ts';

/** A table of an app's own, with a name and a column that need quotes. */
export const productTable = defineTable({
  schema: 'shop',
  name: 'Products$',
  columns: {
    id: 'integer',
    name: 'text',
    Order: { kind: 'text', nullable: true },
    stock: 'integer',
    views: { kind: 'bigint', nullable: true },
    price: { kind: 'numeric', nullable: true },
    weight: { kind: 'double', nullable: true },
    active: 'boolean',
    owner: { kind: 'uuid', nullable: true },
    made_on: { kind: 'date', nullable: true },
    tags: 'text[]',
    extra: { kind: 'jsonb', nullable: true },
    revision: 'integer',
    created_at: 'timestamptz',
    deleted_at: { kind: 'timestamptz', nullable: true },
  },
  primaryKey: ['id'],
  softDelete: 'deleted_at',
});

const create = `
  CREATE SCHEMA shop;
  CREATE TABLE shop."Products$" (
    id integer PRIMARY KEY,
    name text NOT NULL DEFAULT '',
    "Order" text,
    stock integer NOT NULL DEFAULT 0 CONSTRAINT stock_left CHECK (stock >= 0),
    views bigint,
    price numeric,
    weight double precision,
    active boolean NOT NULL DEFAULT true,
    owner uuid,
    made_on date,
    tags text[] NOT NULL DEFAULT '{}',
    extra jsonb,
    revision integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    not_named text DEFAULT 'secret'
  )`;

/** A database with an empty table of products. */
export const useProducts = () => {
  const database = useDatabase();
  beforeAll(async () => {
    await database.query(create);
  });
  return {
    database,
    get products() {
      return new QueryPatterns(database.postgres, productTable);
    },
    empty: () => database.query('TRUNCATE shop."Products$"'),
  };
};
