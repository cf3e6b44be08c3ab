\echo Use "CREATE EXTENSION pg_fastcopy" to load this file. \quit

-- The control file says schema = pg_catalog, though nothing is put there, so that this script runs with nothing else
-- in its search_path: an operator that somebody has put into another schema must not get into the views.

-- Made here, so that it is ours: CREATE EXTENSION would take one that somebody else had made and owns.
CREATE SCHEMA fastcopy;

-- The ledger: what survives a crash. Written only by the extension's own processes, as the owner of
-- the extension; read through the views below.

CREATE SEQUENCE fastcopy.job_id;

CREATE TABLE fastcopy.job (
    job bigint PRIMARY KEY,
    owner oid NOT NULL,
    source text NOT NULL,
    source_table text NOT NULL,
    target_table text NOT NULL,
    target oid NOT NULL,
    columns text[] NOT NULL,
    column_types oid[] NOT NULL,
    key text,
    filter text,
    format text NOT NULL CHECK (format IN ('binary', 'text')),
    truncate boolean NOT NULL,
    indexes text NOT NULL CHECK (indexes IN ('keep', 'rebuild')),
    triggers boolean NOT NULL,
    statistics boolean NOT NULL,
    workers integer NOT NULL,
    state text NOT NULL CHECK (state IN ('copying', 'indexing', 'done', 'failed', 'cancelled')),
    chunks integer NOT NULL,
    started_at timestamptz NOT NULL,
    resumed_at timestamptz,
    resumes integer NOT NULL DEFAULT 0,
    vain_resumes integer NOT NULL DEFAULT 0, -- in a row, without a chunk done
    worked_before interval NOT NULL DEFAULT '0',
    finished_at timestamptz,
    sqlstate text,
    error text,
    detail text,
    hint text,
    context text,
    failed_chunk integer,
    -- What tells, when the job is resumed, whether the source or the target has changed.
    source_server text,
    source_snapshot text,
    source_position text,
    source_relations text,
    source_columns text,
    target_files text[] NOT NULL,
    target_unlogged boolean NOT NULL
);
COMMENT ON TABLE fastcopy.job IS 'ledger of pg_fastcopy jobs';

CREATE TABLE fastcopy.chunk (
    job bigint NOT NULL REFERENCES fastcopy.job ON DELETE CASCADE,
    chunk integer NOT NULL,
    relation text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('whole', 'blocks', 'range', 'nulls')),
    first_block bigint,
    end_block bigint,
    key text,
    key_type text,
    less text,
    not_less text,
    lower_bound text,
    upper_bound text,
    done boolean NOT NULL DEFAULT false,
    rows bigint,
    rows_sent bigint,
    bytes bigint,
    worker integer,
    retries integer,
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (job, chunk)
) WITH (fillfactor = 70);
COMMENT ON TABLE fastcopy.chunk IS 'ledger of pg_fastcopy chunks: a chunk is done when its rows are committed';

-- The indexes that a job has set aside, until they are built anew. They still exist, marked invalid, with all
-- that belongs to them; the definition is here for people to read.
CREATE TABLE fastcopy.index (
    job bigint NOT NULL REFERENCES fastcopy.job ON DELETE CASCADE,
    number integer NOT NULL,
    index oid NOT NULL,
    name text NOT NULL,
    definition text NOT NULL,
    done boolean NOT NULL DEFAULT false,
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (job, number)
);
COMMENT ON TABLE fastcopy.index IS 'ledger of the indexes that pg_fastcopy jobs rebuild';

-- The jobs whose target is unlogged, or was in part: what a crash empties along with the target.
CREATE UNLOGGED TABLE fastcopy.unlogged_job (
    job bigint PRIMARY KEY
);
COMMENT ON TABLE fastcopy.unlogged_job IS 'ledger of pg_fastcopy jobs that copy into unlogged tables';

-- What the registry in shared memory knows, live. One row per running job, and per running worker, of
-- those that the current user may see.

CREATE FUNCTION fastcopy.live_jobs(
    OUT job bigint, OUT owner oid, OUT target oid, OUT state text, OUT coordinator_pid integer,
    OUT workers integer, OUT workers_wanted integer, OUT chunks integer, OUT chunks_done integer,
    OUT chunks_in_flight integer, OUT rows_copied bigint, OUT bytes_copied bigint,
    OUT fraction double precision, OUT started_at timestamptz)
RETURNS SETOF record LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'fastcopy_live_jobs';

CREATE FUNCTION fastcopy.live_workers(
    OUT job bigint, OUT worker integer, OUT pid integer, OUT source_pid integer,
    OUT chunk integer, OUT index integer, OUT rows_in_chunk bigint, OUT bytes_in_chunk bigint, OUT chunks_done integer,
    OUT rows_copied bigint, OUT bytes_copied bigint, OUT retries_in_chunk integer, OUT retries integer,
    OUT started_at timestamptz)
RETURNS SETOF record LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'fastcopy_live_workers';

-- The state of a job that is not live, by what is committed now: a job may end between the reading of the ledger
-- and that of the registry.
CREATE FUNCTION fastcopy.state_now(job bigint) RETURNS text
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'fastcopy_state_now';

CREATE FUNCTION fastcopy.may_see(owner oid) RETURNS boolean
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fastcopy_may_see';

CREATE FUNCTION fastcopy.progress_line(
    job bigint, name text, state text, fraction double precision, rows bigint, seconds double precision,
    workers integer, workers_wanted integer)
RETURNS text LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fastcopy_progress_line';

CREATE VIEW fastcopy.status WITH (security_barrier) AS
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
       s.indexes
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
           (SELECT count(*)::integer FROM fastcopy.index i WHERE i.job = j.job) AS indexes
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
COMMENT ON VIEW fastcopy.status IS 'one row per fastcopy job, running or ended';

CREATE VIEW fastcopy.workers WITH (security_barrier) AS
SELECT w.job, w.worker, w.pid, w.source_pid, w.chunk, w.index, w.rows_in_chunk, w.bytes_in_chunk, w.chunks_done,
       w.rows_copied, w.bytes_copied, w.retries_in_chunk, w.retries, w.started_at
FROM fastcopy.live_workers() w;
COMMENT ON VIEW fastcopy.workers IS 'one row per running fastcopy worker';

CREATE VIEW fastcopy.chunks WITH (security_barrier) AS
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
       c.finished_at
FROM fastcopy.chunk c
JOIN fastcopy.job j ON j.job = c.job
LEFT JOIN fastcopy.live_workers() w ON w.job = c.job AND w.chunk = c.chunk
WHERE fastcopy.may_see(j.owner);
COMMENT ON VIEW fastcopy.chunks IS 'one row per chunk of each fastcopy job';

CREATE VIEW fastcopy.indexes WITH (security_barrier) AS
SELECT i.job,
       i.number,
       i.name,
       CASE WHEN i.done THEN 'done'
            WHEN w.index IS NOT NULL THEN 'building'
            ELSE 'set aside' END AS state,
       p.phase,
       CASE WHEN i.done THEN 100
            ELSE pg_catalog.round(100.0 * p.blocks_done / nullif(p.blocks_total, 0)) END AS percent_read,
       w.worker,
       CASE WHEN i.done THEN pg_catalog.pg_relation_size(i.index) END AS bytes,
       i.started_at,
       i.finished_at,
       i.definition
FROM fastcopy.index i
JOIN fastcopy.job j ON j.job = i.job
LEFT JOIN fastcopy.live_workers() w ON w.job = i.job AND w.index = i.number
LEFT JOIN pg_catalog.pg_stat_progress_create_index p ON p.pid = w.pid
WHERE fastcopy.may_see(j.owner);
COMMENT ON VIEW fastcopy.indexes IS 'one row per index that a fastcopy job rebuilds';

CREATE VIEW fastcopy.progress WITH (security_barrier) AS
SELECT s.job,
       fastcopy.progress_line(s.job, s.target_table, s.state, (s.percent / 100)::double precision,
                              s.rows_copied, extract(epoch FROM s.elapsed)::double precision,
                              s.workers, s.workers_wanted) AS line
FROM fastcopy.status s
ORDER BY s.job;
COMMENT ON VIEW fastcopy.progress IS 'one line of text per fastcopy job, for \watch 1';

GRANT USAGE ON SCHEMA fastcopy TO PUBLIC;
GRANT SELECT ON fastcopy.status, fastcopy.workers, fastcopy.chunks, fastcopy.indexes, fastcopy.progress TO PUBLIC;

-- What users call.

CREATE FUNCTION fastcopy.start(
    source text, source_table text, target_table text, workers integer DEFAULT 4,
    key text DEFAULT NULL, filter text DEFAULT NULL, columns text[] DEFAULT NULL,
    truncate boolean DEFAULT false, indexes text DEFAULT 'keep', triggers boolean DEFAULT true, statistics boolean DEFAULT true)
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fastcopy_start';
COMMENT ON FUNCTION fastcopy.start(text, text, text, integer, text, text, text[], boolean, text, boolean, boolean)
IS 'starts to copy a remote table into a local one in the background; returns the job''s id';

CREATE FUNCTION fastcopy.copy(
    source text, source_table text, target_table text, workers integer DEFAULT 4,
    key text DEFAULT NULL, filter text DEFAULT NULL, columns text[] DEFAULT NULL,
    truncate boolean DEFAULT false, indexes text DEFAULT 'keep', triggers boolean DEFAULT true, statistics boolean DEFAULT true)
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fastcopy_copy';
COMMENT ON FUNCTION fastcopy.copy(text, text, text, integer, text, text, text[], boolean, text, boolean, boolean)
IS 'copies a remote table into a local one and waits for it; returns the number of rows';

CREATE FUNCTION fastcopy.wait(job bigint, timeout interval DEFAULT NULL) RETURNS text
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fastcopy_wait';
COMMENT ON FUNCTION fastcopy.wait(bigint, interval)
IS 'waits until a job has ended or the timeout has passed; returns its state, raises the error of a failed job';

CREATE FUNCTION fastcopy.cancel(job bigint) RETURNS boolean
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fastcopy_cancel';
COMMENT ON FUNCTION fastcopy.cancel(bigint) IS 'cancels a running job; false if it was not running';

CREATE FUNCTION fastcopy.resume(
    job bigint, source text DEFAULT NULL, workers integer DEFAULT NULL, accept_changes boolean DEFAULT false)
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fastcopy_resume';
COMMENT ON FUNCTION fastcopy.resume(bigint, text, integer, boolean)
IS 'goes on with a failed, cancelled or interrupted job where it has stopped; returns the job''s id';

CREATE FUNCTION fastcopy.set_workers(job bigint, workers integer) RETURNS integer
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fastcopy_set_workers';
COMMENT ON FUNCTION fastcopy.set_workers(bigint, integer)
IS 'changes the number of workers of a running job; returns the former number';

CREATE FUNCTION fastcopy.forget(job bigint) RETURNS void
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fastcopy_forget';
COMMENT ON FUNCTION fastcopy.forget(bigint) IS 'removes an ended job from the ledger';

CREATE FUNCTION fastcopy.compare(
    source text, source_table text, target_table text, workers integer DEFAULT 4,
    key text DEFAULT NULL, filter text DEFAULT NULL, columns text[] DEFAULT NULL,
    OUT range text, OUT lower_bound text, OUT upper_bound text, OUT source_rows bigint, OUT target_rows bigint,
    OUT source_checksum text, OUT target_checksum text, OUT differs boolean)
RETURNS SETOF record LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 2
AS 'MODULE_PATHNAME', 'fastcopy_compare';
COMMENT ON FUNCTION fastcopy.compare(text, text, text, integer, text, text, text[])
IS 'compares a remote table with a local one by counts and checksums; one row per range of rows that differs, then the total';

REVOKE ALL ON FUNCTION
    fastcopy.compare(text, text, text, integer, text, text, text[]),
    fastcopy.start(text, text, text, integer, text, text, text[], boolean, text, boolean, boolean),
    fastcopy.copy(text, text, text, integer, text, text, text[], boolean, text, boolean, boolean),
    fastcopy.wait(bigint, interval), fastcopy.cancel(bigint), fastcopy.set_workers(bigint, integer),
    fastcopy.resume(bigint, text, integer, boolean),
    fastcopy.forget(bigint)
FROM PUBLIC;

-- A place to keep sources: CREATE SERVER old FOREIGN DATA WRAPPER pg_fastcopy OPTIONS (host ..., dbname ...), and
-- CREATE USER MAPPING FOR ... SERVER old OPTIONS (user ..., password ...). Then 'old' is a source.

CREATE FUNCTION fastcopy.fdw_validator(options text[], catalog oid) RETURNS void
LANGUAGE C STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fastcopy_fdw_validator';

CREATE FOREIGN DATA WRAPPER pg_fastcopy VALIDATOR fastcopy.fdw_validator;
COMMENT ON FOREIGN DATA WRAPPER pg_fastcopy IS 'connections to sources of pg_fastcopy; has no foreign tables';
