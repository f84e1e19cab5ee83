-- What answers cost that were had again without buying them (10^-9 USD), by call and in every sum.
ALTER TABLE calls ADD COLUMN saved_nanos INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_quarter ADD COLUMN saved_nanos INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_day ADD COLUMN saved_nanos INTEGER NOT NULL DEFAULT 0;
ALTER TABLE purged ADD COLUMN saved_nanos INTEGER NOT NULL DEFAULT 0;

-- Digests of the idempotency key and of the request that came with it, 16 bytes each. The index
-- costs only those calls that have one.
ALTER TABLE calls ADD COLUMN repetition BLOB;
CREATE INDEX calls_repetition ON calls (repetition) WHERE repetition IS NOT NULL;

DROP VIEW ledger;
CREATE VIEW ledger AS
SELECT lower(substr(hex(call_id), 1, 8) || '-' || substr(hex(call_id), 9, 4) || '-' ||
             substr(hex(call_id), 13, 4) || '-' || substr(hex(call_id), 17, 4) || '-' ||
             substr(hex(call_id), 21))                                            AS call_id,
       strftime('%Y-%m-%dT%H:%M:%fZ', time_us / 1e6, 'unixepoch')                 AS time,
       (SELECT text FROM strings WHERE id = user)                                 AS user,
       (SELECT text FROM strings WHERE id = key)                                  AS key,
       (SELECT text FROM strings WHERE id = team)                                 AS team,
       (SELECT text FROM strings WHERE id = feature)                              AS feature,
       (SELECT text FROM strings WHERE id = endpoint)                             AS endpoint,
       (SELECT text FROM strings WHERE id = provider)                             AS provider,
       (SELECT text FROM strings WHERE id = model_asked)                          AS model_asked,
       (SELECT text FROM strings WHERE id = model)                                AS model,
       (SELECT text FROM strings WHERE id = price_version)                        AS price_version,
       (SELECT text FROM strings WHERE id = error_type)                           AS error_type,
       request_id, ip, session, tags, status,
       CASE outcome WHEN 0 THEN 'success' WHEN 1 THEN 'failed' WHEN 2 THEN 'cancelled'
                    WHEN 3 THEN 'in_doubt' WHEN 4 THEN 'refused' END              AS outcome,
       CASE flags / 16 % 4 WHEN 0 THEN 'miss' WHEN 1 THEN 'hit' WHEN 2 THEN 'coalesced'
                           WHEN 3 THEN 'bypass' END                               AS cache,
       attempts, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
       reasoning_tokens, cost_nanos, saved_nanos, provider_cost, latency_us, ttft_us
FROM calls;
