-- Why a user is blocked.
ALTER TABLE users ADD COLUMN blocked_reason TEXT;

-- Other maxima for one user; one for each limit.
CREATE TABLE overrides (
    user       TEXT    NOT NULL,
    limit_name TEXT    NOT NULL,
    max        INTEGER,                    -- in the integer of the limit's metric; null is unlimited
    until_us   INTEGER,                    -- microseconds since the epoch; null is for good
    created_us INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    PRIMARY KEY (user, limit_name)
) STRICT, WITHOUT ROWID;

-- Payments on prepaid balances. They stay when a user is deleted: the money was paid.
CREATE TABLE top_ups (
    id         INTEGER PRIMARY KEY,
    user       TEXT    NOT NULL,
    limit_name TEXT    NOT NULL,
    amount     INTEGER NOT NULL,           -- in the integer of the limit's metric
    reference  TEXT    UNIQUE,             -- the payer's name of the payment
    time_us    INTEGER NOT NULL,
    created_by TEXT    NOT NULL
) STRICT;
CREATE INDEX top_ups_user ON top_ups (user, limit_name);

-- Kill switches that are on.
CREATE TABLE switches (
    reach       TEXT    NOT NULL PRIMARY KEY,
    reason      TEXT    NOT NULL,
    switched_by TEXT    NOT NULL,
    since_us    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who changed what; rows are only ever added.
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    time_us INTEGER NOT NULL,
    who     TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    before  TEXT,                          -- JSON
    after   TEXT                           -- JSON
) STRICT;
CREATE TRIGGER audit_stays BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'audit entries are not deleted'); END;
CREATE TRIGGER audit_is_fixed BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'audit entries are not changed'); END;

-- Every user who has ever called, by name, so that lists need not look through the rollups. Filled
-- with the rollups of days, which get few new rows.
CREATE TABLE seen_users (
    name TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;
INSERT INTO seen_users SELECT text FROM strings WHERE id IN (SELECT user FROM rollup_day);
CREATE TRIGGER user_is_seen AFTER INSERT ON rollup_day
BEGIN
    INSERT INTO seen_users
    SELECT text FROM strings
    WHERE id = NEW.user AND NOT EXISTS (SELECT 1 FROM seen_users WHERE name = text);
END;
