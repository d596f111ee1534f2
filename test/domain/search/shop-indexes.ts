import { defineIndex } from '../../../src/domain/search/define-index.ts';

const keyword = { type: 'keyword' };
const text = { type: 'text' };

/** What TREADLE_INDEXES names in tests. */
export default [
  // Rows as they are: carried by the stream.
  defineIndex({
    name: 'parts',
    table: 'shop.part',
    fields: { name: 'name', body: 'body', weight: 'weight' },
    mapping: { name: text, body: text, weight: { type: 'integer' } },
  }),
  // Keys of two columns, and every kind of join.
  defineIndex({
    name: 'products',
    table: 'shop.product',
    workspace: 'shop',
    fields: { title: 'title', brand_id: 'brand' },
    one: { brand: { table: 'shop.brand', on: { id: 'brand' }, fields: { brand_name: 'name' } } },
    many: {
      categories: {
        table: 'shop.category',
        on: { id: 'category' },
        through: { table: 'shop.product_category', on: { shop: 'shop', product: 'id' } },
        column: 'name',
      },
      ratings: { table: 'shop.review', on: { shop: 'shop', product: 'id' }, column: 'stars' },
    },
    mapping: {
      title: text,
      brand_id: { type: 'integer' },
      brand_name: keyword,
      categories: keyword,
      ratings: { type: 'integer' },
    },
  }),
  // Embedded.
  defineIndex({
    name: 'notes',
    table: 'shop.note',
    workspace: 'owner',
    fields: { title: 'title', body: 'body' },
    embed: ['title', 'body'],
    mapping: { title: text, body: text },
  }),
];
