-- Copies each table of a database into one of the same name here, as psql's variable `source` (a connection string) has
-- it, and compares. Run by scripts/test in a database with the definitions of all its tables, and no rows.
\set ON_ERROR_STOP on
\set QUIET on
CREATE EXTENSION IF NOT EXISTS pg_fastcopy;
CREATE SCHEMA regression_database;
CREATE TABLE regression_database.result (name text, step text, rows bigint, sqlstate text, error text);

-- Each table: whole; in chunks of a block; and compared.
CREATE PROCEDURE regression_database.copy_all(source text)
LANGUAGE plpgsql AS $$
DECLARE
	name text;
	step text;
	number bigint;
	state text;
	message text;
BEGIN
	FOR name IN
		SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'fastcopy', 'regression_database')
		AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e')
		ORDER BY 1
	LOOP
		FOREACH step IN ARRAY '{whole,chunks,compare}'::text[] LOOP
			number := NULL;
			state := NULL;
			message := NULL;
			BEGIN
				IF step = 'compare' THEN
					SELECT count(*) FILTER (WHERE differs) INTO number FROM fastcopy.compare(source, name, name);
				ELSE
					PERFORM set_config('fastcopy.chunk_size', CASE step WHEN 'chunks' THEN '8kB' ELSE '8MB' END, false);
					number := fastcopy.copy(source, name, name, CASE step WHEN 'chunks' THEN 3 ELSE 1 END, truncate => true,
						triggers => false, foreign_keys => 'skip');
				END IF;
			EXCEPTION WHEN OTHERS THEN
				GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
			END;
			INSERT INTO regression_database.result VALUES (name, step, number, state, message);
			COMMIT;
			EXIT WHEN state IS NOT NULL;
		END LOOP;
	END LOOP;
END $$;

CALL regression_database.copy_all(:'source');
