\echo Use "ALTER EXTENSION pg_fastcopy UPDATE TO '0.2.0'" to load this file. \quit

-- CREATE EXTENSION runs this file after pg_fastcopy--0.1.0.sql: each SQL object has one definition that counts, the last one.
