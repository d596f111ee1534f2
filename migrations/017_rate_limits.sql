-- Up Migration

-- Calls counted by key where there is no Redis, each in a window that ends at `expire`, in milliseconds since 1970 by the
-- clocks of the processes. What a crash of the server takes away is a moment's counts.
CREATE UNLOGGED TABLE treadle.rate_limits (
  key text COLLATE "C" PRIMARY KEY,
  points integer NOT NULL,
  expire bigint
) WITH (fillfactor = 50);

-- Down Migration
DROP TABLE treadle.rate_limits;
