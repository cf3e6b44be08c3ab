\echo Use "ALTER EXTENSION pg_fastcopy UPDATE TO '0.2.0'" to load this file. \quit

-- How the values of a job's columns cross the wire: which are in their type's own format, and the column that keeps rows
-- from being binary.
ALTER TABLE fastcopy.job ADD as_written boolean[], ADD text_because text;

-- The settings of the session that started a job, which the job has taken on. They may hold secrets.
CREATE TABLE fastcopy.setting (
    job bigint NOT NULL REFERENCES fastcopy.job ON DELETE CASCADE,
    name text NOT NULL,
    value text NOT NULL,
    context text NOT NULL, -- with whose rights it was set, and by whom
    role oid NOT NULL,
    PRIMARY KEY (job, name)
);
COMMENT ON TABLE fastcopy.setting IS 'ledger of the settings that pg_fastcopy jobs have taken on';

CREATE FUNCTION fastcopy.is_owner(owner oid) RETURNS boolean
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fastcopy_is_owner';

CREATE VIEW fastcopy.settings WITH (security_barrier) AS
SELECT s.job, s.name, s.value
FROM fastcopy.setting s
JOIN fastcopy.job j ON j.job = s.job
WHERE fastcopy.is_owner(j.owner);
COMMENT ON VIEW fastcopy.settings IS 'the settings of the calling session that each fastcopy job has taken on';
GRANT SELECT ON fastcopy.settings TO PUBLIC;

-- CREATE EXTENSION runs this file after pg_fastcopy--0.1.0.sql: each SQL object has one definition that counts, the last one.

-- Whether fewer rows than the source sent may have been stored: by a trigger, a view or a foreign table.
ALTER TABLE fastcopy.chunk ADD COLUMN may_drop_rows boolean NOT NULL DEFAULT false;
UPDATE fastcopy.chunk SET may_drop_rows = true WHERE done AND rows <> rows_sent;
