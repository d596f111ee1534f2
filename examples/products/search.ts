interface Product {
  readonly title: string;
  readonly price: number | null;
  readonly brand: string | null;
  readonly categories: readonly string[];
}

interface Answer {
  readonly hits: { readonly hits: readonly { readonly _source: Product }[] };
  readonly aggregations: {
    readonly categories: { readonly buckets: readonly { readonly key: string; readonly doc_count: number }[] };
  };
}

const [words = '', category] = process.argv.slice(2);
const server = process.env['ELASTICSEARCH_URL'] ?? 'http://127.0.0.1:9200';

// What is deleted is not behind this alias, and a rebuild swaps what is, from one moment to the next.
const response = await fetch(`${server}/${process.env['ELASTICSEARCH_PREFIX'] ?? ''}products-live/_search`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({
    query: {
      bool: {
        must: words === '' ? [] : [{ multi_match: { query: words, fields: ['title^3', 'description'] } }],
        filter: category === undefined ? [] : [{ term: { categories: category } }],
      },
    },
    aggs: { categories: { terms: { field: 'categories' } } },
    _source: { excludes: ['chunks'] },
  }),
});
if (!response.ok) throw new Error(`Elasticsearch answers ${response.status}: ${await response.text()}`);

const { hits, aggregations } = (await response.json()) as Answer;
for (const { _source: product } of hits.hits) {
  const price = product.price === null ? 'no price' : product.price.toFixed(2);
  console.log(`${product.title} by ${product.brand ?? 'nobody'}, ${price} (${product.categories.join(', ')})`);
}
console.log(aggregations.categories.buckets.map(({ key, doc_count: count }) => `${key}: ${count}`).join('; '));
