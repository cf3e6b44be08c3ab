-- Who may call, and who sees what.
SELECT format('host=%s port=%s dbname=%s user=%s', split_part(current_setting('unix_socket_directories'), ',', 1),
              current_setting('port'), current_database(), current_user) AS source \gset
CREATE ROLE fastcopy_owner;
CREATE ROLE fastcopy_other;
CREATE ROLE fastcopy_watcher IN ROLE pg_read_all_stats;
CREATE TABLE numbers AS SELECT i FROM generate_series(1, 100) i;
CREATE TABLE numbers_copy (i integer, who text DEFAULT current_user);
CREATE TABLE numbers_closed (i integer);
GRANT INSERT ON numbers_copy TO fastcopy_owner;

-- Nobody may start work without having been granted it.
SET ROLE fastcopy_owner;
SELECT fastcopy.start(:'source', 'numbers', 'numbers_copy');
RESET ROLE;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO fastcopy_owner, fastcopy_other, fastcopy_watcher;

-- A job runs as the role that called, though that role may not log in.
SET ROLE fastcopy_owner;
SELECT fastcopy.copy(:'source', 'numbers', 'numbers_copy', statistics => false);
SELECT owner, state, rows_copied FROM fastcopy.status;
SELECT fastcopy.start(:'source', 'numbers', 'numbers_closed');
SELECT fastcopy.start(:'source', 'numbers', 'numbers_copy', truncate => true);
SELECT fastcopy.start(:'source', 'numbers', 'numbers_copy', triggers => false);
SELECT * FROM fastcopy.job;
RESET ROLE;
SELECT DISTINCT who FROM numbers_copy;
SELECT job FROM fastcopy.status WHERE owner = 'fastcopy_owner' \gset

-- To others it does not exist.
SET ROLE fastcopy_other;
SELECT count(*) FROM fastcopy.status;
SELECT count(*) FROM fastcopy.chunks;
SELECT count(*) FROM fastcopy.progress;
\set VERBOSITY sqlstate
SELECT fastcopy.wait(:job);
SELECT fastcopy.cancel(:job);
SELECT fastcopy.forget(:job);
\set VERBOSITY default
SET ROLE fastcopy_watcher;
SELECT owner, state FROM fastcopy.status WHERE owner = 'fastcopy_owner';
\set VERBOSITY sqlstate
SELECT fastcopy.forget(:job);
\set VERBOSITY default
RESET ROLE;

-- Row security that the role is subject to.
ALTER TABLE numbers_copy ENABLE ROW LEVEL SECURITY;
SET ROLE fastcopy_owner;
SELECT fastcopy.start(:'source', 'numbers', 'numbers_copy');
RESET ROLE;

-- A trigger cannot step out of the role.
CREATE TABLE sly (i integer);
GRANT INSERT ON sly TO fastcopy_owner;
CREATE FUNCTION step_out() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RESET ROLE; RETURN NEW; END$$;
CREATE TRIGGER step_out BEFORE INSERT ON sly FOR EACH ROW EXECUTE FUNCTION step_out();
SET ROLE fastcopy_owner;
\set SHOW_CONTEXT never
SELECT fastcopy.copy(:'source', 'numbers', 'sly');
RESET ROLE;

SELECT count(fastcopy.forget(s.job)) FROM fastcopy.status s WHERE owner = 'fastcopy_owner';
DROP TABLE numbers, numbers_copy, numbers_closed, sly;
DROP FUNCTION step_out;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA fastcopy FROM fastcopy_owner, fastcopy_other, fastcopy_watcher;
DROP ROLE fastcopy_owner, fastcopy_other, fastcopy_watcher;
