import { defineIndex } from '../../../../src/domain/search/define-index.ts';

const things = defineIndex({
  name: 'things',
  table: 'shop.part',
  fields: { name: 'name' },
  mapping: { name: { type: 'text' } },
});

export default [things, things];
