-- How the limits of a call stood when it was decided, in the form of tollgate_domain::decision.
ALTER TABLE calls ADD COLUMN decision BLOB;
