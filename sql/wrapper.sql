-- Foreign servers as sources: the wrapper's options, whose mapping is used, and who may waive the password.
SELECT split_part(current_setting('unix_socket_directories'), ',', 1) AS host, current_setting('port') AS port,
       current_database() AS dbname, current_user AS me \gset
CREATE ROLE fastcopy_user;
CREATE TABLE numbers AS SELECT i FROM generate_series(1, 100) i;
CREATE TABLE numbers_copy (i integer, who text DEFAULT current_user);
GRANT INSERT ON numbers_copy TO fastcopy_user;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO fastcopy_user;

-- Options and the objects that accept them.
CREATE SERVER fastcopy_wrong FOREIGN DATA WRAPPER pg_fastcopy OPTIONS (bogus 'x');
CREATE SERVER fastcopy_wrong FOREIGN DATA WRAPPER pg_fastcopy OPTIONS (user 'x');
CREATE SERVER fastcopy_wrong FOREIGN DATA WRAPPER pg_fastcopy OPTIONS (password 'x');
CREATE SERVER fastcopy_wrong FOREIGN DATA WRAPPER pg_fastcopy OPTIONS (client_encoding 'latin1');
ALTER FOREIGN DATA WRAPPER pg_fastcopy OPTIONS (host 'x');
CREATE SERVER fastcopy_old FOREIGN DATA WRAPPER pg_fastcopy OPTIONS (host :'host', port :'port', dbname :'dbname');
CREATE USER MAPPING FOR fastcopy_user SERVER fastcopy_old OPTIONS (host 'x');
CREATE FOREIGN TABLE fastcopy_none (i integer) SERVER fastcopy_old;
SELECT * FROM fastcopy_none;
DROP FOREIGN TABLE fastcopy_none;

-- A server needs a user mapping; only the server's name is shown.
SELECT fastcopy.copy('fastcopy_nowhere', 'numbers', 'numbers_copy');
-- These messages are PostgreSQL's, and differ between versions.
\set VERBOSITY sqlstate
SELECT fastcopy.copy('fastcopy_old', 'numbers', 'numbers_copy');
\set VERBOSITY default
CREATE USER MAPPING FOR CURRENT_USER SERVER fastcopy_old OPTIONS (user :'me');
SELECT fastcopy.copy('fastcopy_old', 'numbers', 'numbers_copy');
SELECT source FROM fastcopy.status ORDER BY job DESC LIMIT 1;

-- Non-superusers need USAGE and a password.
SET ROLE fastcopy_user;
SELECT fastcopy.copy('fastcopy_old', 'numbers', 'numbers_copy', statistics => false);
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER fastcopy_old TO fastcopy_user;
CREATE USER MAPPING FOR fastcopy_user SERVER fastcopy_old OPTIONS (user :'me');
SET ROLE fastcopy_user;
SELECT fastcopy.copy('fastcopy_old', 'numbers', 'numbers_copy', statistics => false);
-- Only superusers may waive the password, or name files.
ALTER USER MAPPING FOR fastcopy_user SERVER fastcopy_old OPTIONS (ADD password_required 'false');
ALTER USER MAPPING FOR fastcopy_user SERVER fastcopy_old OPTIONS (ADD sslkey '/nowhere');
ALTER USER MAPPING FOR fastcopy_user SERVER fastcopy_old OPTIONS (ADD password 'sesame');
SELECT fastcopy.copy('fastcopy_old', 'numbers', 'numbers_copy', statistics => false);
RESET ROLE;
ALTER USER MAPPING FOR fastcopy_user SERVER fastcopy_old OPTIONS (ADD password_required 'false');
SET ROLE fastcopy_user;
SELECT fastcopy.copy('fastcopy_old', 'numbers', 'numbers_copy', statistics => false);
RESET ROLE;
SELECT who = 'fastcopy_user' AS by_user, count(*) FROM numbers_copy GROUP BY 1 ORDER BY 1;

-- A wrapper with a validator of its own waives nothing: the validator may accept the option from anybody.
CREATE FOREIGN DATA WRAPPER fastcopy_homemade;
CREATE SERVER fastcopy_lax FOREIGN DATA WRAPPER fastcopy_homemade OPTIONS (host :'host', port :'port', dbname :'dbname', nonsense 'is passed over');
GRANT USAGE ON FOREIGN SERVER fastcopy_lax TO fastcopy_user;
CREATE USER MAPPING FOR fastcopy_user SERVER fastcopy_lax OPTIONS (user :'me', password_required 'false');
SET ROLE fastcopy_user;
SELECT fastcopy.copy('fastcopy_lax', 'numbers', 'numbers_copy', statistics => false);
RESET ROLE;

DROP SERVER fastcopy_old, fastcopy_lax CASCADE;
DROP FOREIGN DATA WRAPPER fastcopy_homemade;
DROP TABLE numbers, numbers_copy;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA fastcopy FROM fastcopy_user;
DROP ROLE fastcopy_user;
