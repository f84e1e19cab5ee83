-- Amounts that are set aside for what is not a call, and how each ended. Limits on things that exist
-- are counted from here at a start, so what was committed stays.
CREATE TABLE actions (
    id         BLOB    NOT NULL PRIMARY KEY,   -- a UUIDv7
    user       TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    team       TEXT,
    ip         TEXT,                           -- as limits count it
    feature    TEXT,
    plan       TEXT    NOT NULL,
    metric     TEXT    NOT NULL,
    amount     INTEGER NOT NULL,               -- in the integer of the metric
    created_us INTEGER NOT NULL,               -- microseconds since the epoch
    expires_us INTEGER,
    state      INTEGER NOT NULL,               -- 0 standing, 1 committed, 2 released, 3 expired
    used       INTEGER NOT NULL,               -- what was used in the end
    ended_us   INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX actions_standing ON actions (created_us) WHERE state = 0;

-- Usage that happened elsewhere, by the names that make it idempotent.
CREATE TABLE usage_events (
    sender      TEXT    NOT NULL,              -- name of the key that sent it
    source      TEXT    NOT NULL,              -- empty where the sender names none
    id          TEXT    NOT NULL,
    received_us INTEGER NOT NULL,
    pending     TEXT,                          -- its row as JSON, until the ledger has it
    PRIMARY KEY (sender, source, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_events_received ON usage_events (received_us);
CREATE INDEX usage_events_pending ON usage_events (received_us) WHERE pending IS NOT NULL;
