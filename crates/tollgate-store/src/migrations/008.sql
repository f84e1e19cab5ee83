-- Scheduled work: up to which instant each job is dealt with, who runs it, and how the last run went.
CREATE TABLE jobs (
    name       TEXT    NOT NULL PRIMARY KEY,
    schedule   TEXT    NOT NULL,           -- expression and zone that `done_us` belongs to
    done_us    INTEGER NOT NULL,           -- every instant of the schedule up to here is dealt with
    holder     TEXT,                       -- who runs it; null while nobody does
    lease_us   INTEGER,                    -- until when nobody else may
    due_us     INTEGER,                    -- the instant that the run is for; null where a person asked
    started_us INTEGER,
    ended_us   INTEGER,
    outcome    TEXT,                       -- success, failed
    message    TEXT,
    success_us INTEGER                     -- when a run last ended well
) STRICT, WITHOUT ROWID;
