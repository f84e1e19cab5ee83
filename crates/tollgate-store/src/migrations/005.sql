-- The attempts of a call at providers, in the form of the journal's codec; null where the row itself
-- says all of its one attempt.
ALTER TABLE calls ADD COLUMN tries BLOB;
