-- Messages of one thread reach a channel in the order in which they were written.
ALTER TABLE alert_outbox ADD COLUMN thread TEXT;
CREATE INDEX alert_outbox_thread ON alert_outbox (channel, thread, id) WHERE state = 0;

-- A run that failed may be tried again for the same instant.
ALTER TABLE jobs ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;  -- runs that failed for what is due
ALTER TABLE jobs ADD COLUMN again_us INTEGER;                  -- when the next of them may begin

-- The history of one alert, and of one turn.
CREATE INDEX alert_history_key ON alert_history (key, time_us);
