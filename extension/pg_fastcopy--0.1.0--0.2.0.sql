\echo Use "ALTER EXTENSION pg_fastcopy UPDATE TO '0.2.0'" to load this file. \quit

-- CREATE EXTENSION runs this file after pg_fastcopy--0.1.0.sql: each SQL object has one definition that counts, the last one.

-- The tables of a job.
CREATE TABLE fastcopy.job_table (
    job bigint NOT NULL REFERENCES fastcopy.job ON DELETE CASCADE,
    number integer NOT NULL,
    source_table text NOT NULL,
    target_table text NOT NULL,
    target oid NOT NULL,
    columns text[] NOT NULL,
    column_types oid[] NOT NULL,
    -- How the values cross the wire: which are in their type's own format, and the column that keeps rows from being binary.
    as_written boolean[],
    text_because text,
    key text,
    filter text,
    format text NOT NULL CHECK (format IN ('binary', 'text')),
    chunks integer NOT NULL,
    -- How the table is read and written, and why: by its leaves or by its name; through COPY FROM or INSERT.
    reader text CHECK (reader IN ('leaves', 'table')),
    reader_reason text,
    writer text CHECK (writer IN ('copy', 'insert')),
    writer_reason text,
    warning text,
    -- What tells, when the job is resumed, whether the source or the target has changed.
    source_relations text,
    source_columns text,
    target_files text[] NOT NULL,
    target_unlogged boolean NOT NULL,
    PRIMARY KEY (job, number)
);
COMMENT ON TABLE fastcopy.job_table IS 'ledger of the tables of pg_fastcopy jobs';
CREATE INDEX ON fastcopy.job_table (target);

INSERT INTO fastcopy.job_table (job, number, source_table, target_table, target, columns, column_types, key, filter, format,
                                chunks, source_relations, source_columns, target_files, target_unlogged)
SELECT job, 1, source_table, target_table, target, columns, column_types, key, filter, format,
       chunks, source_relations, source_columns, target_files, target_unlogged
FROM fastcopy.job;

ALTER TABLE fastcopy.chunk ADD table_number integer NOT NULL DEFAULT 1;
CREATE INDEX ON fastcopy.chunk (job, table_number);

-- What a job makes once all rows are in: the indexes that it has set aside, and what a clone creates after the rows.
ALTER TABLE fastcopy.index RENAME TO definition;
ALTER INDEX fastcopy.index_pkey RENAME TO definition_pkey;
ALTER TABLE fastcopy.definition
    ADD table_number integer DEFAULT 1,
    ADD stage integer NOT NULL DEFAULT 1, -- all of a stage are made before any of the next
    ADD kind text NOT NULL DEFAULT 'INDEX';
CREATE INDEX ON fastcopy.definition (job, stage, number) WHERE NOT done;
COMMENT ON TABLE fastcopy.definition IS 'ledger of the definitions that pg_fastcopy jobs make once all rows are in';
COMMENT ON COLUMN fastcopy.definition.index IS 'the index that is rebuilt; 0: the definition is run as it is';

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

-- The foreign keys that a job checks when all rows are there. Those that are set aside are marked not valid until then.
CREATE TABLE fastcopy.foreign_key (
    job bigint NOT NULL REFERENCES fastcopy.job ON DELETE CASCADE,
    foreign_key oid NOT NULL,
    name text NOT NULL,
    table_name text NOT NULL,
    definition text NOT NULL,
    set_aside boolean NOT NULL,
    was_valid boolean NOT NULL, -- before the job; a key that was not is not checked
    done boolean NOT NULL DEFAULT false,
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (job, foreign_key)
);
COMMENT ON TABLE fastcopy.foreign_key IS 'ledger of the foreign keys that pg_fastcopy jobs check';

CREATE VIEW fastcopy.foreign_keys WITH (security_barrier) AS
SELECT k.job,
       k.table_name,
       k.name,
       CASE WHEN NOT k.was_valid THEN 'not valid' WHEN k.done THEN 'checked' WHEN k.set_aside THEN 'set aside' ELSE 'unchecked' END AS state,
       k.started_at,
       k.finished_at,
       k.definition
FROM fastcopy.foreign_key k
JOIN fastcopy.job j ON j.job = k.job
WHERE fastcopy.may_see(j.owner);
COMMENT ON VIEW fastcopy.foreign_keys IS 'one row per foreign key that a fastcopy job checks when all rows are there';
GRANT SELECT ON fastcopy.foreign_keys TO PUBLIC;

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

-- Whether fewer rows than the source sent may have been stored: by a trigger, a view or a foreign table.
ALTER TABLE fastcopy.chunk ADD COLUMN may_drop_rows boolean NOT NULL DEFAULT false;
UPDATE fastcopy.chunk SET may_drop_rows = true WHERE done AND rows <> rows_sent;

-- The encoding of a SQL_ASCII source, and whether the sequences of the target's columns are advanced.
ALTER TABLE fastcopy.job
    ADD source_encoding text,
    ADD sequences boolean NOT NULL DEFAULT true,
    ADD clone boolean NOT NULL DEFAULT false,
    ADD created boolean NOT NULL DEFAULT false; -- a clone whose tables are made from the source's definitions

-- What a job's owner should know: one row per topic, each with one writer.
CREATE TABLE fastcopy.notice (
    job bigint NOT NULL REFERENCES fastcopy.job ON DELETE CASCADE,
    topic text NOT NULL,
    text text NOT NULL,
    PRIMARY KEY (job, topic)
);
COMMENT ON TABLE fastcopy.notice IS 'ledger of the notices of pg_fastcopy jobs';

DROP FUNCTION fastcopy.start(text, text, text, integer, text, text, text[], boolean, text, boolean, boolean);
DROP FUNCTION fastcopy.copy(text, text, text, integer, text, text, text[], boolean, text, boolean, boolean);
DROP FUNCTION fastcopy.compare(text, text, text, integer, text, text, text[]);

CREATE FUNCTION fastcopy.start(
    source text, source_table text, target_table text, workers integer DEFAULT 4,
    key text DEFAULT NULL, filter text DEFAULT NULL, columns text[] DEFAULT NULL,
    truncate boolean DEFAULT false, indexes text DEFAULT 'keep', triggers boolean DEFAULT true,
    statistics boolean DEFAULT true, source_encoding text DEFAULT NULL, sequences boolean DEFAULT true,
    foreign_keys text DEFAULT 'check')
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fastcopy_start';
COMMENT ON FUNCTION fastcopy.start(text, text, text, integer, text, text, text[], boolean, text, boolean, boolean, text, boolean, text)
IS 'starts to copy a remote table into a local one in the background; returns the job''s id';

CREATE FUNCTION fastcopy.copy(
    source text, source_table text, target_table text, workers integer DEFAULT 4,
    key text DEFAULT NULL, filter text DEFAULT NULL, columns text[] DEFAULT NULL,
    truncate boolean DEFAULT false, indexes text DEFAULT 'keep', triggers boolean DEFAULT true,
    statistics boolean DEFAULT true, source_encoding text DEFAULT NULL, sequences boolean DEFAULT true,
    foreign_keys text DEFAULT 'check')
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fastcopy_copy';
COMMENT ON FUNCTION fastcopy.copy(text, text, text, integer, text, text, text[], boolean, text, boolean, boolean, text, boolean, text)
IS 'copies a remote table into a local one and waits for it; returns the number of rows that it has read';

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
    fastcopy.start(text, text, text, integer, text, text, text[], boolean, text, boolean, boolean, text, boolean, text),
    fastcopy.copy(text, text, text, integer, text, text, text[], boolean, text, boolean, boolean, text, boolean, text),
    fastcopy.compare(text, text, text, integer, text, text, text[], text)
FROM PUBLIC;

-- rows_copied are the rows that were read from the source; rows_stored are those that the target took, of chunks that are
-- done: a trigger can drop rows or put them elsewhere.
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
       s.rows_stored,
       s.notice,
       s.reader,
       s.writer,
       s.warning,
       s.tables
FROM (
    SELECT coalesce(j.job, l.job) AS job,
           -- A job may have ended since the statement's snapshot was taken. Then its state is the one of that snapshot, as
           -- all other columns are; what is left to find out is whether it was interrupted.
           CASE WHEN j.state IS NULL THEN l.state
                WHEN j.state IN ('copying', 'indexing') AND l.job IS NULL
                     AND fastcopy.state_now(j.job) = 'interrupted' THEN 'interrupted'
                ELSE j.state END AS state,
           j.source,
           t.source_table,
           coalesce(t.target_table, nullif(l.target, 0)::pg_catalog.regclass::text) AS target_table,
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
           t.format,
           coalesce(j.resumes, 0) AS resumes,
           (SELECT count(*) FILTER (WHERE i.done)::integer FROM fastcopy.definition i
            WHERE i.job = j.job AND i.kind IN ('INDEX', 'CONSTRAINT')) AS indexes_done,
           (SELECT count(*)::integer FROM fastcopy.definition i
            WHERE i.job = j.job AND i.kind IN ('INDEX', 'CONSTRAINT')) AS indexes,
           (SELECT coalesce(sum(k.rows), 0)::bigint FROM fastcopy.chunk k WHERE k.job = j.job AND k.done) AS rows_stored,
           (SELECT pg_catalog.string_agg(n.text, E'\n' ORDER BY n.topic) FROM fastcopy.notice n WHERE n.job = j.job) AS notice,
           t.reader,
           t.writer,
           t.warning,
           t.tables
    FROM fastcopy.job j
    FULL JOIN fastcopy.live_jobs() l ON l.job = j.job
    LEFT JOIN LATERAL (
        SELECT count(*) FILTER (WHERE k.done)::integer AS chunks_done,
               coalesce(sum(coalesce(k.rows_sent, k.rows)), 0)::bigint AS rows,
               coalesce(sum(k.bytes), 0)::bigint AS bytes,
               max(k.finished_at) AS last_finished_at
        FROM fastcopy.chunk k
        WHERE k.job = j.job AND l.job IS NULL) c ON true
    LEFT JOIN LATERAL (
        -- Of several tables, what they have in common.
        SELECT count(*)::integer AS tables,
               CASE count(*) WHEN 0 THEN NULL WHEN 1 THEN min(t.source_table) ELSE count(*) || ' tables' END AS source_table,
               CASE count(*) WHEN 0 THEN NULL WHEN 1 THEN min(t.target_table) ELSE count(*) || ' tables' END AS target_table,
               pg_catalog.string_agg(DISTINCT t.format, ', ') AS format,
               pg_catalog.string_agg(DISTINCT t.reader, ', ') AS reader,
               pg_catalog.string_agg(DISTINCT t.writer, ', ') AS writer,
               pg_catalog.string_agg(DISTINCT t.warning, E'\n') AS warning
        FROM fastcopy.job_table t
        WHERE t.job = j.job) t ON true
) s
WHERE fastcopy.may_see(s.owner);

ALTER TABLE fastcopy.job
    DROP source_table, DROP target_table, DROP target, DROP columns, DROP column_types, DROP key, DROP filter, DROP format,
    DROP source_relations, DROP source_columns, DROP target_files, DROP target_unlogged;

CREATE OR REPLACE VIEW fastcopy.chunks WITH (security_barrier) AS
SELECT c.job,
       c.chunk,
       CASE WHEN c.done THEN 'done'
            WHEN w.chunk IS NOT NULL THEN 'copying'
            WHEN j.failed_chunk = c.chunk THEN 'failed'
            ELSE 'pending' END AS state,
       c.relation,
       c.kind,
       c.first_block,
       c.end_block,
       c.key,
       c.lower_bound,
       c.upper_bound,
       coalesce(c.rows, w.rows_in_chunk) AS rows,
       coalesce(c.bytes, w.bytes_in_chunk) AS bytes,
       coalesce(c.worker, w.worker) AS worker,
       coalesce(c.retries, w.retries_in_chunk) AS retries,
       c.started_at,
       c.finished_at,
       c.table_number
FROM fastcopy.chunk c
JOIN fastcopy.job j ON j.job = c.job
LEFT JOIN fastcopy.live_workers() w ON w.job = c.job AND w.chunk = c.chunk
WHERE fastcopy.may_see(j.owner);

-- The state of a table is its own: one whose rows are in waits for the others of its job. A table that was being copied
-- when its job ended otherwise is interrupted.
CREATE VIEW fastcopy.tables WITH (security_barrier) AS
SELECT t.job,
       t.number,
       t.source_table,
       t.target_table,
       CASE WHEN j.state = 'done' THEN 'done'
            WHEN c.has_failed THEN 'failed'
            WHEN coalesce(c.chunks_done, 0) < t.chunks AND NOT coalesce(c.started, false) THEN 'pending'
            WHEN coalesce(c.chunks_done, 0) = t.chunks AND coalesce(i.indexes_done = i.indexes, true) THEN 'copied'
            WHEN NOT EXISTS (SELECT FROM fastcopy.live_jobs() l WHERE l.job = t.job) THEN 'interrupted'
            WHEN c.chunks_done < t.chunks THEN 'copying'
            ELSE 'indexing' END AS state,
       coalesce(c.rows, 0)::bigint AS rows,
       coalesce(c.bytes, 0)::bigint AS bytes,
       CASE WHEN t.chunks = 0 THEN 100 ELSE pg_catalog.round(100.0 * c.chunks_done / t.chunks, 1) END AS percent,
       coalesce(c.chunks_done, 0) AS chunks_done,
       t.chunks,
       coalesce(i.indexes_done, 0) AS indexes_done,
       coalesce(i.indexes, 0) AS indexes,
       c.started_at,
       CASE WHEN c.chunks_done = t.chunks AND coalesce(i.indexes_done = i.indexes, true)
            THEN greatest(c.finished_at, i.finished_at) END AS finished_at,
       CASE WHEN c.has_failed THEN j.error END AS error,
       t.format,
       t.reader,
       t.writer,
       t.warning
FROM fastcopy.job_table t
JOIN fastcopy.job j ON j.job = t.job
LEFT JOIN (
    SELECT k.job,
           k.table_number,
           count(*) FILTER (WHERE k.done)::integer AS chunks_done,
           sum(CASE WHEN k.done THEN coalesce(k.rows_sent, k.rows) ELSE w.rows_in_chunk END) AS rows,
           sum(CASE WHEN k.done THEN k.bytes ELSE w.bytes_in_chunk END) AS bytes,
           pg_catalog.bool_or(k.done OR w.chunk IS NOT NULL) AS started,
           coalesce(pg_catalog.bool_or(k.chunk = f.failed_chunk), false) AS has_failed,
           min(k.started_at) AS started_at,
           max(k.finished_at) AS finished_at
    FROM fastcopy.chunk k
    JOIN fastcopy.job f ON f.job = k.job
    LEFT JOIN fastcopy.live_workers() w ON w.job = k.job AND w.chunk = k.chunk
    GROUP BY k.job, k.table_number) c ON c.job = t.job AND c.table_number = t.number
LEFT JOIN (
    SELECT x.job, x.table_number, count(*) FILTER (WHERE x.done)::integer AS indexes_done, count(*)::integer AS indexes,
           max(x.finished_at) AS finished_at
    FROM fastcopy.definition x
    WHERE x.kind IN ('INDEX', 'CONSTRAINT')
    GROUP BY x.job, x.table_number) i ON i.job = t.job AND i.table_number = t.number
WHERE fastcopy.may_see(j.owner);
COMMENT ON VIEW fastcopy.tables IS 'one row per table of each fastcopy job';
GRANT SELECT ON fastcopy.tables TO PUBLIC;

-- Of several tables, the line names those at work.
CREATE OR REPLACE VIEW fastcopy.progress WITH (security_barrier) AS
SELECT s.job,
       fastcopy.progress_line(s.job, CASE WHEN s.tables > 1 THEN pg_catalog.concat_ws(': ', s.target_table, w.tables) ELSE s.target_table END,
                              s.state, (s.percent / 100)::double precision, s.rows_copied,
                              extract(epoch FROM s.elapsed)::double precision, s.workers, s.workers_wanted) AS line
FROM fastcopy.status s
LEFT JOIN LATERAL (
    SELECT pg_catalog.string_agg(DISTINCT t.target_table, ', ') AS tables
    FROM fastcopy.live_workers() l
    LEFT JOIN fastcopy.chunk c ON c.job = l.job AND c.chunk = l.chunk
    LEFT JOIN fastcopy.definition d ON d.job = l.job AND d.number = l.index
    JOIN fastcopy.job_table t ON t.job = l.job AND t.number = coalesce(c.table_number, d.table_number)
    WHERE l.job = s.job) w ON s.tables > 1
ORDER BY s.job;

-- What the INSERT of a worker selects from. It gives rows to nobody else, so that all may call it.
CREATE FUNCTION fastcopy.incoming_rows() RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fastcopy_incoming_rows';
COMMENT ON FUNCTION fastcopy.incoming_rows() IS 'rows on their way into a table; for the workers of pg_fastcopy only';

-- How far fastcopy.sync has copied: per pair of tables the watermark that the target has reached (done), and the one that
-- a run is to reach.
CREATE TABLE fastcopy.watermark (
    target oid NOT NULL,
    source text NOT NULL,
    source_table text NOT NULL,
    done boolean NOT NULL,
    owner oid NOT NULL,
    target_table text NOT NULL,
    key text NOT NULL,
    filter text,
    value text, -- the greatest key
    snapshot text NOT NULL, -- of the source, that the target is as of
    base_snapshot text NOT NULL, -- of the last run that has looked at all rows of the source
    server text,
    position text,
    epoch text, -- of the source's counters
    members text, -- a hash of the source table's partitions or children
    inserted bigint NOT NULL, -- by the source's counters, just before the base snapshot
    found bigint NOT NULL, -- above the watermarks since then
    updated bigint NOT NULL,
    deleted bigint NOT NULL,
    must_scan boolean NOT NULL,
    was_open boolean NOT NULL, -- transactions were in progress that the snapshot does not list
    source_oid oid NOT NULL, -- of the source table, on the source
    job bigint, -- the last run that had something to copy
    rows bigint NOT NULL DEFAULT 0, -- of the last run
    ran_at timestamptz NOT NULL,
    PRIMARY KEY (target, source, source_table, done)
);
COMMENT ON TABLE fastcopy.watermark IS 'ledger of what fastcopy.sync has copied';
CREATE INDEX ON fastcopy.watermark (job);

ALTER TABLE fastcopy.chunk DROP CONSTRAINT chunk_kind_check,
    ADD CONSTRAINT chunk_kind_check CHECK (kind IN ('whole', 'blocks', 'range', 'nulls', 'keys'));

CREATE VIEW fastcopy.lag WITH (security_barrier) AS
SELECT w.source, w.source_table, w.target_table, w.key, w.value AS watermark, w.job, w.ran_at AS last_run, w.rows,
       pg_catalog.now() - w.ran_at AS age,
       (SELECT u.job FROM fastcopy.watermark u
        WHERE u.target = w.target AND u.source = w.source AND u.source_table = w.source_table AND NOT u.done) AS unfinished_job
FROM fastcopy.watermark w
WHERE w.done AND fastcopy.may_see(w.owner);
COMMENT ON VIEW fastcopy.lag IS 'one row per pair of tables that fastcopy.sync keeps up: its watermark, its last run, and how long ago that was';
GRANT SELECT ON fastcopy.lag TO PUBLIC;

CREATE FUNCTION fastcopy.sync(
    source text, source_table text, target_table text, key text, workers integer DEFAULT 4,
    filter text DEFAULT NULL, columns text[] DEFAULT NULL, triggers boolean DEFAULT true, statistics boolean DEFAULT false,
    source_encoding text DEFAULT NULL, sequences boolean DEFAULT true, wait boolean DEFAULT false, rescan boolean DEFAULT false)
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fastcopy_sync';
COMMENT ON FUNCTION fastcopy.sync(text, text, text, text, integer, text, text[], boolean, boolean, text, boolean, boolean, boolean)
IS 'copies the rows of a remote table that were inserted since the last call; returns the id of the job that does or, if there are none, that of the last one';
REVOKE ALL ON FUNCTION fastcopy.sync(text, text, text, text, integer, text, text[], boolean, boolean, text, boolean, boolean, boolean)
FROM PUBLIC;

-- An index that is created with its constraint has no name of its own until then.
CREATE OR REPLACE VIEW fastcopy.indexes WITH (security_barrier) AS
SELECT i.job,
       i.number,
       i.name,
       CASE WHEN i.done THEN 'done'
            WHEN w.index IS NOT NULL THEN 'building'
            WHEN i.index = 0 THEN 'pending'
            ELSE 'set aside' END AS state,
       p.phase,
       CASE WHEN i.done THEN 100
            ELSE pg_catalog.round(100.0 * p.blocks_done / nullif(p.blocks_total, 0)) END AS percent_read,
       w.worker,
       CASE WHEN i.done THEN pg_catalog.pg_relation_size(i.index) END AS bytes,
       i.started_at,
       i.finished_at,
       i.definition
FROM fastcopy.definition i
JOIN fastcopy.job j ON j.job = i.job
LEFT JOIN fastcopy.live_workers() w ON w.job = i.job AND w.index = i.number
LEFT JOIN pg_catalog.pg_stat_progress_create_index p ON p.pid = w.pid
WHERE i.kind IN ('INDEX', 'CONSTRAINT') AND fastcopy.may_see(j.owner);
COMMENT ON VIEW fastcopy.indexes IS 'one row per index that a fastcopy job builds once all rows are in';

CREATE VIEW fastcopy.definitions WITH (security_barrier) AS
SELECT d.job,
       d.number,
       d.kind,
       d.name,
       t.target_table,
       CASE WHEN d.done THEN 'done'
            WHEN w.index IS NOT NULL THEN 'making'
            ELSE 'pending' END AS state,
       w.worker,
       d.started_at,
       d.finished_at,
       d.definition
FROM fastcopy.definition d
JOIN fastcopy.job j ON j.job = d.job
LEFT JOIN fastcopy.job_table t ON t.job = d.job AND t.number = d.table_number
LEFT JOIN fastcopy.live_workers() w ON w.job = d.job AND w.index = d.number
WHERE d.index = 0 AND fastcopy.may_see(j.owner);
COMMENT ON VIEW fastcopy.definitions IS 'one row per object that fastcopy.clone creates after the rows';
GRANT SELECT ON fastcopy.definitions TO PUBLIC;

CREATE FUNCTION fastcopy.clone(
    source text, tables text[] DEFAULT NULL, exclude text[] DEFAULT NULL, workers integer DEFAULT 4,
    definitions text DEFAULT 'create', filters jsonb DEFAULT NULL, owners boolean DEFAULT true, privileges boolean DEFAULT true,
    truncate boolean DEFAULT false, indexes text DEFAULT 'keep', triggers boolean DEFAULT true, statistics boolean DEFAULT true,
    source_encoding text DEFAULT NULL, sequences boolean DEFAULT true)
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fastcopy_clone';
COMMENT ON FUNCTION fastcopy.clone(text, text[], text[], integer, text, jsonb, boolean, boolean, boolean, text, boolean, boolean, text, boolean)
IS 'starts to copy many remote tables, under one snapshot, into tables of the same names; returns the job''s id';
REVOKE ALL ON FUNCTION fastcopy.clone(text, text[], text[], integer, text, jsonb, boolean, boolean, boolean, text, boolean, boolean, text, boolean)
FROM PUBLIC;

CREATE FUNCTION fastcopy.check(
    source text, tables text[] DEFAULT NULL, exclude text[] DEFAULT NULL, workers integer DEFAULT 4,
    definitions text DEFAULT 'create', filters jsonb DEFAULT NULL, owners boolean DEFAULT true, privileges boolean DEFAULT true,
    truncate boolean DEFAULT false, indexes text DEFAULT 'keep', triggers boolean DEFAULT true, statistics boolean DEFAULT true,
    source_encoding text DEFAULT NULL, sequences boolean DEFAULT true)
RETURNS TABLE (severity text, object text, finding text, hint text) LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fastcopy_check';
COMMENT ON FUNCTION fastcopy.check(text, text[], text[], integer, text, jsonb, boolean, boolean, boolean, text, boolean, boolean, text, boolean)
IS 'says what would go wrong with fastcopy.clone of these arguments, and does nothing; severities: error, warning, info';
REVOKE ALL ON FUNCTION fastcopy.check(text, text[], text[], integer, text, jsonb, boolean, boolean, boolean, text, boolean, boolean, text, boolean)
FROM PUBLIC;
