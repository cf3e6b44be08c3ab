-- Privileges: who may call the functions, and who sees jobs.
SELECT format('host=%s port=%s dbname=%s user=%s', split_part(current_setting('unix_socket_directories'), ',', 1),
              current_setting('port'), current_database(), current_user) AS source \gset
CREATE ROLE fastcopy_owner;
CREATE ROLE fastcopy_other;
CREATE ROLE fastcopy_watcher IN ROLE pg_read_all_stats;
CREATE TABLE numbers AS SELECT i FROM generate_series(1, 100) i;
CREATE TABLE numbers_copy (i integer, who text DEFAULT current_user);
GRANT INSERT ON numbers_copy TO fastcopy_owner;

-- EXECUTE is not granted to PUBLIC.
SET ROLE fastcopy_owner;
SELECT fastcopy.start(:'source', 'numbers', 'numbers_copy');
RESET ROLE;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO fastcopy_owner, fastcopy_other, fastcopy_watcher;

-- Non-superusers must give a password, or they would use the server account's credentials. (The same with a
-- password, and everything else that such a role may and may not do, is in t/030_roles.pl.)
SET ROLE fastcopy_owner;
SELECT fastcopy.start(:'source', 'numbers', 'numbers_copy');
SELECT * FROM fastcopy.job;
RESET ROLE;

-- A job belongs to the role that called: a superuser here, although that role cannot log in.
ALTER ROLE fastcopy_owner SUPERUSER;
SET ROLE fastcopy_owner;
SELECT fastcopy.copy(:'source', 'numbers', 'numbers_copy', statistics => false);
RESET ROLE;
ALTER ROLE fastcopy_owner NOSUPERUSER;
SET ROLE fastcopy_owner;
SELECT owner, state, rows_copied FROM fastcopy.status;
RESET ROLE;
SELECT DISTINCT who FROM numbers_copy;
SELECT job FROM fastcopy.status WHERE owner = 'fastcopy_owner' \gset

-- To other roles the job does not exist.
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

SELECT count(fastcopy.forget(s.job)) FROM fastcopy.status s WHERE owner = 'fastcopy_owner';
DROP TABLE numbers, numbers_copy;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA fastcopy FROM fastcopy_owner, fastcopy_other, fastcopy_watcher;
DROP ROLE fastcopy_owner, fastcopy_other, fastcopy_watcher;
