-- The app's own table, beside Treadle's schema in one database. Names are qualified, so that nothing depends on search_path.
CREATE TABLE IF NOT EXISTS public.orders (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  email text NOT NULL,
  item text NOT NULL,
  confirmed_at timestamptz,
  shipped_at timestamptz
);

-- A producer in plain SQL: whoever marks an order as shipped, the job is part of that transaction.
CREATE OR REPLACE FUNCTION public.announce_shipping() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM treadle.enqueue('orders.announce-shipping', jsonb_build_object('orderId', NEW.id), '{"priority": 3}');
  RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER announce_shipping AFTER UPDATE OF shipped_at ON public.orders
  FOR EACH ROW WHEN (OLD.shipped_at IS NULL AND NEW.shipped_at IS NOT NULL)
  EXECUTE FUNCTION public.announce_shipping();
