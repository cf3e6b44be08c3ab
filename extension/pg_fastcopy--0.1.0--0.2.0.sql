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
-- The encoding of a SQL_ASCII source, the sequences of the target's columns, and what a job has to say to its owner.

ALTER TABLE fastcopy.job
    ADD source_encoding text,
    ADD sequences boolean NOT NULL DEFAULT true,
    ADD notice text;

DROP FUNCTION fastcopy.start(text, text, text, integer, text, text, text[], boolean, text, boolean, boolean);
DROP FUNCTION fastcopy.copy(text, text, text, integer, text, text, text[], boolean, text, boolean, boolean);
DROP FUNCTION fastcopy.compare(text, text, text, integer, text, text, text[]);

CREATE FUNCTION fastcopy.start(
    source text, source_table text, target_table text, workers integer DEFAULT 4,
    key text DEFAULT NULL, filter text DEFAULT NULL, columns text[] DEFAULT NULL,
    truncate boolean DEFAULT false, indexes text DEFAULT 'keep', triggers boolean DEFAULT true,
    statistics boolean DEFAULT true, source_encoding text DEFAULT NULL, sequences boolean DEFAULT true)
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fastcopy_start';
COMMENT ON FUNCTION fastcopy.start(text, text, text, integer, text, text, text[], boolean, text, boolean, boolean, text, boolean)
IS 'starts to copy a remote table into a local one in the background; returns the job''s id';

CREATE FUNCTION fastcopy.copy(
    source text, source_table text, target_table text, workers integer DEFAULT 4,
    key text DEFAULT NULL, filter text DEFAULT NULL, columns text[] DEFAULT NULL,
    truncate boolean DEFAULT false, indexes text DEFAULT 'keep', triggers boolean DEFAULT true,
    statistics boolean DEFAULT true, source_encoding text DEFAULT NULL, sequences boolean DEFAULT true)
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fastcopy_copy';
COMMENT ON FUNCTION fastcopy.copy(text, text, text, integer, text, text, text[], boolean, text, boolean, boolean, text, boolean)
IS 'copies a remote table into a local one and waits for it; returns the number of rows';

CREATE FUNCTION fastcopy.compare(
    source text, source_table text, target_table text, workers integer DEFAULT 4,
    key text DEFAULT NULL, filter text DEFAULT NULL, columns text[] DEFAULT NULL, source_encoding text DEFAULT NULL,
    OUT range text, OUT lower_bound text, OUT upper_bound text, OUT source_rows bigint, OUT target_rows bigint,
    OUT source_checksum text, OUT target_checksum text, OUT differs boolean)
RETURNS SETOF record LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 2
AS 'MODULE_PATHNAME', 'fastcopy_compare';
COMMENT ON FUNCTION fastcopy.compare(text, text, text, integer, text, text, text[], text)
IS 'compares a remote table with a local one by counts and checksums; one row per range of rows that differs, then the total';

REVOKE ALL ON FUNCTION
    fastcopy.start(text, text, text, integer, text, text, text[], boolean, text, boolean, boolean, text, boolean),
    fastcopy.copy(text, text, text, integer, text, text, text[], boolean, text, boolean, boolean, text, boolean),
    fastcopy.compare(text, text, text, integer, text, text, text[], text)
FROM PUBLIC;

CREATE OR REPLACE VIEW fastcopy.status WITH (security_barrier) AS
SELECT s.job,
       s.state,
       s.source,
       s.source_table,
       s.target_table,
       pg_catalog.pg_get_userbyid(s.owner) AS owner,
       s.workers,
       s.workers_wanted,
       s.chunks_done,
       s.chunks,
       s.rows_copied,
       s.bytes_copied,
       pg_catalog.round((100 * s.fraction)::numeric, 1) AS percent,
       CASE WHEN s.seconds > 0 THEN pg_catalog.round((s.rows_copied / s.seconds)::numeric) END AS rows_per_s,
       CASE WHEN s.seconds > 0 THEN pg_catalog.round((s.bytes_copied / s.seconds)::numeric) END AS bytes_per_s,
       pg_catalog.make_interval(secs => s.seconds) AS elapsed,
       CASE WHEN s.state = 'copying' AND s.fraction > 0
            THEN pg_catalog.make_interval(secs => pg_catalog.round((s.seconds * (1 - s.fraction) / s.fraction)::numeric)::double precision)
       END AS eta,
       s.started_at,
       s.finished_at,
       s.error,
       s.sqlstate,
       s.detail,
       s.hint,
       s.context,
       s.failed_chunk,
       s.format,
       s.resumes,
       s.indexes_done,
       s.indexes,
       s.notice
FROM (
    SELECT coalesce(j.job, l.job) AS job,
           CASE WHEN j.state IS NULL THEN l.state
                WHEN j.state IN ('copying', 'indexing') AND l.job IS NULL THEN fastcopy.state_now(j.job)
                ELSE j.state END AS state,
           j.source,
           j.source_table,
           coalesce(j.target_table, l.target::pg_catalog.regclass::text) AS target_table,
           coalesce(j.owner, l.owner) AS owner,
           coalesce(l.workers, 0) AS workers,
           coalesce(l.workers_wanted, j.workers) AS workers_wanted,
           CASE WHEN l.job IS NULL THEN c.chunks_done ELSE l.chunks_done END AS chunks_done,
           coalesce(j.chunks, l.chunks) AS chunks,
           CASE WHEN l.job IS NULL THEN c.rows ELSE l.rows_copied END AS rows_copied,
           CASE WHEN l.job IS NULL THEN c.bytes ELSE l.bytes_copied END AS bytes_copied,
           CASE WHEN j.state = 'done' THEN 1
                WHEN l.job IS NULL THEN coalesce(c.chunks_done / nullif(j.chunks, 0)::double precision, 0)
                ELSE l.fraction END AS fraction,
           extract(epoch FROM coalesce(j.worked_before, '0')
                              + (coalesce(j.finished_at, CASE WHEN l.job IS NULL THEN greatest(c.last_finished_at, j.resumed_at, j.started_at)
                                                              ELSE pg_catalog.clock_timestamp() END)
                                 - coalesce(j.resumed_at, j.started_at, l.started_at)))::double precision AS seconds,
           coalesce(j.started_at, l.started_at) AS started_at,
           j.finished_at,
           j.error,
           j.sqlstate,
           j.detail,
           j.hint,
           j.context,
           j.failed_chunk,
           j.format,
           coalesce(j.resumes, 0) AS resumes,
           (SELECT count(*) FILTER (WHERE i.done)::integer FROM fastcopy.index i WHERE i.job = j.job) AS indexes_done,
           (SELECT count(*)::integer FROM fastcopy.index i WHERE i.job = j.job) AS indexes,
           j.notice
    FROM fastcopy.job j
    FULL JOIN fastcopy.live_jobs() l ON l.job = j.job
    LEFT JOIN LATERAL (
        SELECT count(*) FILTER (WHERE k.done)::integer AS chunks_done,
               coalesce(sum(k.rows), 0)::bigint AS rows,
               coalesce(sum(k.bytes), 0)::bigint AS bytes,
               max(k.finished_at) AS last_finished_at
        FROM fastcopy.chunk k
        WHERE k.job = j.job AND l.job IS NULL) c ON true
) s
WHERE fastcopy.may_see(s.owner);
