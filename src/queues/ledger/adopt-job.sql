-- Makes a ledger row for a job that was enqueued straight to its queue and now needs one: it failed, or has to wait.
INSERT INTO treadle.jobs (id, name, queue, state, priority, tenant, payload, attempts_allowed, attempts_made, timeout_ms, relayed_at,
  traceparent)
VALUES ($1, $2, $3, 'active', $4, $5, $6, $7, $8, $9, now(), $10)
ON CONFLICT (id) DO NOTHING
