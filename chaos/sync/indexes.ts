import { defineIndex } from '../../src/domain/search/define-index.ts';

/** Rows that the stream carries whole, except for large bodies that an update left alone. */
export default defineIndex({
  name: 'notes',
  table: 'oracle.notes',
  workspace: 'team',
  fields: { title: 'title', body: 'body', rank: 'rank' },
  mapping: { title: { type: 'keyword' }, body: { type: 'text' }, rank: { type: 'integer' } },
});
