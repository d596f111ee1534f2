-- The app's own tables, beside Treadle's schema in one database. All that Treadle asks of them is a primary key that holds
-- the columns by which their rows are known.
CREATE TABLE IF NOT EXISTS public.brands (
  id integer PRIMARY KEY,
  name text NOT NULL,
  country text
);

CREATE TABLE IF NOT EXISTS public.categories (
  id integer PRIMARY KEY,
  name text NOT NULL
);

CREATE TABLE IF NOT EXISTS public.products (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  title text NOT NULL,
  description text,
  price numeric(10, 2),
  attributes jsonb NOT NULL DEFAULT '{}',
  brand_id integer REFERENCES public.brands (id),
  added_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS public.product_categories (
  product_id uuid REFERENCES public.products (id) ON DELETE CASCADE,
  category_id integer REFERENCES public.categories (id),
  PRIMARY KEY (product_id, category_id)
);

-- Documents that show a brand are found by this one when it changes.
CREATE INDEX IF NOT EXISTS products_of_a_brand ON public.products (brand_id);
CREATE INDEX IF NOT EXISTS product_categories_of_a_category ON public.product_categories (category_id);

INSERT INTO public.brands VALUES (1, 'Ashford', 'NZ'), (2, 'Louet', 'NL'), (3, 'Glimåkra', 'SE') ON CONFLICT DO NOTHING;
INSERT INTO public.categories VALUES (1, 'Looms'), (2, 'Spinning wheels'), (3, 'Tools') ON CONFLICT DO NOTHING;

WITH made AS (
  INSERT INTO public.products (title, description, price, attributes, brand_id)
  SELECT given.* FROM (VALUES
    ('Rigid heddle loom', 'A folding loom for scarves and table runners, 60 cm wide', 289.00, '{"width": "60 cm"}'::jsonb, 1),
    ('Floor loom Julia', 'Eight shafts and a countermarch for wide cloth', 2140.00, '{"shafts": "8"}', 3),
    ('Travelling wheel', 'A spinning wheel with a double treadle that folds flat', 645.50, '{"weight": "5.5 kg"}', 2),
    ('Drum carder', 'Blends wool and silk before spinning', 599.00, '{}', 1)
  ) AS given (title, description, price, attributes, brand_id)
  WHERE NOT EXISTS (SELECT FROM public.products)
  RETURNING id, title
)
INSERT INTO public.product_categories
SELECT made.id, categories.id FROM made JOIN public.categories
  ON (made.title LIKE '%loom%' AND categories.name = 'Looms')
  OR (made.title LIKE '%wheel%' AND categories.name = 'Spinning wheels')
  OR (made.title LIKE '%carder%' AND categories.name = 'Tools');
