-- Alerts that are open, as the alert engine keeps them.
CREATE TABLE alerts (
    key   TEXT NOT NULL PRIMARY KEY,
    rule  TEXT NOT NULL,
    alert TEXT NOT NULL                    -- JSON
) STRICT, WITHOUT ROWID;

-- What became of alerts.
CREATE TABLE alert_history (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    time_us  INTEGER NOT NULL,
    happened TEXT    NOT NULL,             -- fired, resolved
    rule     TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    alert    TEXT    NOT NULL              -- JSON, as it was then
) STRICT;

-- Steps of limits that were reported, until their window is over: so each is reported once.
CREATE TABLE alert_steps (
    key      TEXT    NOT NULL PRIMARY KEY,
    until_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What nobody is told of for a while.
CREATE TABLE alert_silences (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    matchers   TEXT    NOT NULL,           -- JSON: pairs of a label and a value
    reason     TEXT    NOT NULL,
    created_by TEXT    NOT NULL,
    from_us    INTEGER NOT NULL,
    until_us   INTEGER NOT NULL
) STRICT;

-- Messages to channels, written with what they tell, until they are delivered or given up.
CREATE TABLE alert_outbox (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    channel    TEXT    NOT NULL,
    notice     TEXT    NOT NULL,           -- JSON
    created_us INTEGER NOT NULL,
    due_us     INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,
    state      INTEGER NOT NULL,           -- 0 waits, 1 delivered, 2 given up
    why        TEXT                        -- what came back last
) STRICT;
CREATE INDEX alert_outbox_due ON alert_outbox (channel, due_us) WHERE state = 0;

-- Sums of the addresses that used most in an hour, which no rollup has: what is usual for them.
CREATE TABLE alert_addresses (
    hour          INTEGER NOT NULL,        -- seconds since the epoch
    address       TEXT    NOT NULL,
    calls         INTEGER NOT NULL,
    failed        INTEGER NOT NULL,
    refused       INTEGER NOT NULL,
    input_tokens  INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost_nanos    INTEGER NOT NULL,
    PRIMARY KEY (address, hour)
) STRICT, WITHOUT ROWID;
