-- Texts that repeat (users, keys, models, endpoints) are stored once; rows and rollups hold their
-- number. 0 stands for "none" and has no row here.
CREATE TABLE strings (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

-- One row a call. The id is a UUIDv7, so the primary key fills in order of time and serves as the
-- index by time; there is no other index on purpose (each costs more than the rest of the insert).
CREATE TABLE calls (
    call_id            BLOB    NOT NULL PRIMARY KEY,
    time_us            INTEGER NOT NULL,   -- microseconds since the epoch
    batch              INTEGER NOT NULL,   -- the fold that inserted it
    user               INTEGER NOT NULL,
    key                INTEGER NOT NULL,
    team               INTEGER NOT NULL,
    feature            INTEGER NOT NULL,
    endpoint           INTEGER NOT NULL,
    provider           INTEGER NOT NULL,
    model_asked        INTEGER NOT NULL,
    model              INTEGER NOT NULL,
    price_version      INTEGER NOT NULL,
    error_type         INTEGER NOT NULL,
    request_id         TEXT,               -- null where it is the call id
    ip                 TEXT,
    session            TEXT,
    tags               TEXT,               -- JSON object
    flags              INTEGER NOT NULL,   -- 1 stream, 2 estimated, 4.. dialect (2 bits), 16.. cache (2 bits)
    status             INTEGER NOT NULL,
    outcome            INTEGER NOT NULL,   -- 0 success, 1 failed, 2 cancelled, 3 in_doubt, 4 refused
    attempts           INTEGER NOT NULL,
    input_tokens       INTEGER NOT NULL,
    cached_tokens      INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    other_usage        BLOB,               -- counts beyond these five, in the journal's form
    cost_nanos         INTEGER NOT NULL,   -- 10^-9 USD
    provider_cost      INTEGER,
    latency_us         INTEGER NOT NULL,
    ttft_us            INTEGER
) STRICT, WITHOUT ROWID;

-- Sums by quarter of an hour (UTC, seconds since the epoch). Every time zone in use is a whole
-- number of quarters from UTC, so days of any zone can be made of these exactly.
CREATE TABLE rollup_quarter (
    quarter            INTEGER NOT NULL,
    user               INTEGER NOT NULL,
    team               INTEGER NOT NULL,
    key                INTEGER NOT NULL,
    feature            INTEGER NOT NULL,
    provider           INTEGER NOT NULL,
    model              INTEGER NOT NULL,
    calls              INTEGER NOT NULL,   -- all but refused ones
    successes          INTEGER NOT NULL,
    failed             INTEGER NOT NULL,
    cancelled          INTEGER NOT NULL,
    in_doubt           INTEGER NOT NULL,
    refused            INTEGER NOT NULL,
    cache_hits         INTEGER NOT NULL,
    input_tokens       INTEGER NOT NULL,
    cached_tokens      INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    latency_us         INTEGER NOT NULL,
    cost_nanos         INTEGER NOT NULL,
    PRIMARY KEY (quarter, user, team, key, feature, provider, model)
) STRICT, WITHOUT ROWID;

-- The same by day of the configured zone (meta "zone"); day is year * 10000 + month * 100 + day.
CREATE TABLE rollup_day (
    day                INTEGER NOT NULL,
    user               INTEGER NOT NULL,
    team               INTEGER NOT NULL,
    key                INTEGER NOT NULL,
    feature            INTEGER NOT NULL,
    provider           INTEGER NOT NULL,
    model              INTEGER NOT NULL,
    calls              INTEGER NOT NULL,
    successes          INTEGER NOT NULL,
    failed             INTEGER NOT NULL,
    cancelled          INTEGER NOT NULL,
    in_doubt           INTEGER NOT NULL,
    refused            INTEGER NOT NULL,
    cache_hits         INTEGER NOT NULL,
    input_tokens       INTEGER NOT NULL,
    cached_tokens      INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    latency_us         INTEGER NOT NULL,
    cost_nanos         INTEGER NOT NULL,
    PRIMARY KEY (day, user, team, key, feature, provider, model)
) STRICT, WITHOUT ROWID;

-- One row a fold; the newest says how much of the journal is in the database. Older ones tell a
-- follower where to look for the calls of each fold.
CREATE TABLE folds (
    batch      INTEGER PRIMARY KEY,
    first_call BLOB    NOT NULL,
    segment    INTEGER NOT NULL,
    position   INTEGER NOT NULL
) STRICT;

-- What purging has removed: rows are gone, their sums stay, so that rows can still be proved
-- against rollups. One row.
CREATE TABLE purged (
    one                INTEGER PRIMARY KEY CHECK (one = 1),
    before             INTEGER NOT NULL,   -- seconds since the epoch, start of a quarter
    calls              INTEGER NOT NULL,
    successes          INTEGER NOT NULL,
    failed             INTEGER NOT NULL,
    cancelled          INTEGER NOT NULL,
    in_doubt           INTEGER NOT NULL,
    refused            INTEGER NOT NULL,
    cache_hits         INTEGER NOT NULL,
    input_tokens       INTEGER NOT NULL,
    cached_tokens      INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    latency_us         INTEGER NOT NULL,
    cost_nanos         INTEGER NOT NULL
) STRICT;
INSERT INTO purged VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    name             TEXT    NOT NULL PRIMARY KEY,
    plan             TEXT,
    team             TEXT,
    blocked          INTEGER NOT NULL CHECK (blocked IN (0, 1)),
    quota_zero_until INTEGER,              -- microseconds since the epoch
    created_at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    id                TEXT    NOT NULL PRIMARY KEY,
    name              TEXT    NOT NULL,    -- a key and those it replaced share one
    hash              BLOB    NOT NULL UNIQUE,
    prefix            TEXT    NOT NULL,    -- what may be shown
    role              TEXT    NOT NULL CHECK (role IN ('user', 'service', 'admin')),
    user              TEXT,
    team              TEXT,
    plan              TEXT,
    created_at        INTEGER NOT NULL,
    expires_at        INTEGER,
    revoked_at        INTEGER,
    allowed_models    TEXT,                -- JSON array; null allows all
    allowed_providers TEXT,
    allowed_ips       TEXT,
    limits            TEXT,                -- JSON, as in the configuration
    on_disconnect     TEXT,
    rotated_from      TEXT,                -- id of the key that this one replaces
    replaced          INTEGER NOT NULL CHECK (replaced IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX keys_name ON keys (name) WHERE replaced = 0;

-- The ledger for people: texts and words in place of numbers.
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
       attempts, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
       reasoning_tokens, cost_nanos, provider_cost, latency_us, ttft_us
FROM calls;
