import { defineIndex } from 'treadle';

/** One document a product, with the name of its brand and those of its categories. */
export default defineIndex({
  name: 'products',
  table: 'public.products',
  fields: {
    title: 'title',
    description: 'description',
    price: 'price',
    attributes: 'attributes',
    added_at: 'added_at',
  },
  one: {
    brand: {
      table: 'public.brands',
      on: { id: 'brand_id' },
      fields: { brand: 'name', country: 'country' },
    },
  },
  many: {
    categories: {
      table: 'public.categories',
      on: { id: 'category_id' },
      through: { table: 'public.product_categories', on: { product_id: 'id' } },
      column: 'name',
    },
  },
  // By meaning, too: these texts are embedded by jobs, and their vectors are in the index.
  embed: ['title', 'description'],
  mapping: {
    title: { type: 'text' },
    description: { type: 'text' },
    price: { type: 'double' },
    // Whatever is in it, nothing of it becomes a field of its own.
    attributes: { type: 'object', enabled: false },
    added_at: { type: 'date' },
    brand: { type: 'keyword' },
    country: { type: 'keyword' },
    categories: { type: 'keyword' },
  },
});
