\echo Use "ALTER EXTENSION pg_fastcopy UPDATE TO '0.2.0'" to load this file. \quit

-- CREATE EXTENSION runs this file after pg_fastcopy--0.1.0.sql: each SQL object has one definition that counts, the last one.

-- Whether fewer rows than the source sent may have been stored: by a trigger, a view or a foreign table.
ALTER TABLE fastcopy.chunk ADD COLUMN may_drop_rows boolean NOT NULL DEFAULT false;
UPDATE fastcopy.chunk SET may_drop_rows = true WHERE done AND rows <> rows_sent;
