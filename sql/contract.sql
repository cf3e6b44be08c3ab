-- The SQL contract: names, columns, a copy from start to end, and what each option does. Source and target
-- are this database, reached through a real connection.
SELECT format('host=%s port=%s dbname=%s user=%s', split_part(current_setting('unix_socket_directories'), ',', 1),
              current_setting('port'), current_database(), current_user) AS source \gset

\df fastcopy.start
\df fastcopy.copy
\df fastcopy.wait
\df fastcopy.cancel
\df fastcopy.set_workers
\df fastcopy.forget
\df fastcopy.clone
\df fastcopy.check
\df fastcopy.compare
\d fastcopy.status
\d fastcopy.workers
\d fastcopy.tables
\d fastcopy.chunks
\d fastcopy.progress

CREATE TABLE orders (
    id bigint PRIMARY KEY,
    customer integer,
    placed_at timestamptz,
    amount numeric(12,2),
    note text,
    attributes jsonb);
INSERT INTO orders
SELECT i, i % 97, timestamptz '2026-01-01 00:00:00+00' + i * interval '1 minute', i * 1.25, 'order ' || i,
       jsonb_build_object('n', i)
FROM generate_series(1, 5000) i;
ANALYZE orders;

-- Many chunks of a small table.
SET fastcopy.chunk_size = '64kB';
CREATE TABLE orders_copy (LIKE orders INCLUDING ALL);
SELECT fastcopy.start(:'source', 'orders', 'orders_copy', 2) AS job \gset
SELECT fastcopy.wait(:job);
SELECT state, source_table, target_table, workers, workers_wanted, chunks_done = chunks AS all_chunks, chunks > 4 AS many_chunks,
       rows_copied, bytes_copied > 0 AS bytes, percent, error, format
FROM fastcopy.status WHERE job = :job;
SELECT count(*), sum(rows), bool_and(state = 'done'), min(kind), max(kind) FROM fastcopy.chunks WHERE job = :job;
SELECT regexp_replace(line, '^\d+ (.*)  [0-9.]+ [kM]? ?rows/s  done in .*', '\1') AS line FROM fastcopy.progress WHERE job = :job;
(TABLE orders EXCEPT TABLE orders_copy) UNION ALL (TABLE orders_copy EXCEPT TABLE orders);

-- compare: a row per range that differs, and the total
SELECT range, source_rows, target_rows, source_checksum = target_checksum AS equal, differs
FROM fastcopy.compare(:'source', 'orders', 'orders_copy', 2);
BEGIN;
DELETE FROM orders_copy WHERE id = 42;
SELECT range, differs FROM fastcopy.compare(:'source', 'orders', 'orders_copy', 2);  -- sees what is committed
COMMIT;
SELECT range ~ '^id >= ''\d+'' AND id < ''\d+''$' AS by_key, lower_bound::bigint <= 42 AND 42 < upper_bound::bigint AS there,
       source_rows - target_rows AS missing, source_checksum = target_checksum AS equal, differs
FROM fastcopy.compare(:'source', 'orders', 'orders_copy', 2);
SELECT range LIKE 'attributes::text COLLATE "C" %' AS by_text, source_rows - target_rows AS missing, differs
FROM fastcopy.compare(:'source', 'orders', 'orders_copy', columns => '{customer,note}', key => 'attributes') WHERE range <> 'total';

-- truncate, key, filter, columns
SELECT fastcopy.copy(:'source', 'orders', 'orders_copy', 2, truncate => true, key => 'id');
SELECT DISTINCT kind, key FROM fastcopy.chunks WHERE job = :job + 1;
SELECT fastcopy.copy(:'source', 'orders', 'orders_copy', filter => 'id <= 10 -- the first ten', truncate => true);
SELECT count(*), max(id) FROM orders_copy;
SELECT fastcopy.copy(:'source', 'public.orders', 'public.orders_copy', columns => '{customer,id}', truncate => true);
SELECT count(*), count(customer), count(note) FROM orders_copy;

-- Generated and extra columns on the target, another order, another type.
CREATE TABLE orders_other (
    extra text DEFAULT 'as ever',
    attributes json,
    note varchar(20),
    amount numeric,
    twice numeric GENERATED ALWAYS AS (amount * 2) STORED,
    placed_at timestamptz,
    customer bigint,
    id bigint);
SELECT fastcopy.copy(:'source', 'orders', 'orders_other');
SELECT extra, attributes, note, amount, twice, customer, id FROM orders_other WHERE id = 42;
SELECT format FROM fastcopy.status ORDER BY job DESC LIMIT 1;

-- triggers
CREATE TABLE logged (id bigint, note text);
CREATE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.note := 'by trigger'; RETURN NEW; END$$;
CREATE TRIGGER note_it BEFORE INSERT ON logged FOR EACH ROW EXECUTE FUNCTION note_it();
SELECT fastcopy.copy(:'source', 'orders', 'logged', columns => '{id,note}', filter => 'id = 1');
SELECT fastcopy.copy(:'source', 'orders', 'logged', columns => '{id,note}', filter => 'id = 2', triggers => false);
SELECT * FROM logged ORDER BY id;

-- statistics
CREATE TABLE analyzed (LIKE orders);
CREATE TABLE unanalyzed (LIKE orders);
SELECT fastcopy.copy(:'source', 'orders', 'analyzed'), fastcopy.copy(:'source', 'orders', 'unanalyzed', statistics => false);
SELECT relname, reltuples FROM pg_class WHERE relname IN ('analyzed', 'unanalyzed') ORDER BY 1;

-- An empty table, a view, a partitioned table.
CREATE TABLE none (LIKE orders);
SELECT fastcopy.copy(:'source', 'none', 'orders_other');
CREATE VIEW few AS SELECT * FROM orders WHERE id <= 100;
SELECT fastcopy.copy(:'source', 'few', 'orders_copy', truncate => true);
CREATE TABLE parts (LIKE orders) PARTITION BY RANGE (id);
CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (MINVALUE) TO (2500);
CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (2500) TO (MAXVALUE);
SELECT fastcopy.copy(:'source', 'orders', 'parts');
SELECT tableoid::regclass, count(*) FROM parts GROUP BY 1 ORDER BY 1;
SELECT fastcopy.copy(:'source', 'parts', 'orders_copy', truncate => true);
(TABLE orders EXCEPT TABLE orders_copy) UNION ALL (TABLE orders_copy EXCEPT TABLE orders);

-- Errors that leave no job.
SELECT count(*) AS jobs FROM fastcopy.status \gset
\set VERBOSITY terse
SELECT fastcopy.start('host', 'orders', 'orders_copy');
SELECT fastcopy.start(:'source', 'missing', 'orders_copy');
SELECT fastcopy.start(:'source', 'orders', 'missing');
SELECT fastcopy.start(:'source', 'orders', 'logged');
SELECT fastcopy.start(:'source', 'orders', 'orders_copy', columns => '{missing}');
SELECT fastcopy.start(:'source', 'orders', 'orders_copy', columns => '{}');
SELECT fastcopy.start(:'source', 'orders', 'orders_copy', columns => '{id,id}');
SELECT fastcopy.start(:'source', 'orders', 'orders_copy', key => 'missing');
SELECT fastcopy.start(:'source', 'orders', 'orders_copy', key => 'amount');
SELECT fastcopy.start(:'source', 'orders', 'orders_other', key => 'attributes', columns => '{id}');
SELECT fastcopy.start(:'source', 'orders', 'orders_copy', filter => 'id >');
SELECT fastcopy.start(:'source', 'orders', 'orders_copy', filter => 'true) OR (true');
SELECT fastcopy.start(:'source', 'orders', 'orders_copy', 0);
SELECT fastcopy.start(:'source', 'orders', 'orders_copy', -1);
SELECT fastcopy.start(:'source', 'orders', 'orders_copy', 100000);
SELECT fastcopy.start(NULL, 'orders', 'orders_copy');
SELECT fastcopy.start(:'source', 'orders', 'few');
SELECT fastcopy.start(:'source', 'orders', 'pg_catalog.pg_class');
SELECT fastcopy.start(:'source', 'orders', 'orders', truncate => true);
SELECT fastcopy.start(:'source', 'few', 'orders', truncate => true);
BEGIN;
CREATE TABLE fresh (LIKE orders);
SELECT fastcopy.start(:'source', 'orders', 'fresh');
ROLLBACK;
SELECT count(*) - :jobs AS new_jobs FROM fastcopy.status;

-- A failed job reports its error.
\set VERBOSITY default
\set SHOW_CONTEXT never
TRUNCATE orders_copy;
INSERT INTO orders_copy SELECT * FROM orders WHERE id = 4000;
SELECT fastcopy.start(:'source', 'orders', 'orders_copy', 1) AS job \gset
SELECT fastcopy.wait(:job);
SELECT state, sqlstate, error, detail, failed_chunk IS NOT NULL AS in_chunk FROM fastcopy.status WHERE job = :job;
SELECT (SELECT count(*) FROM orders_copy) - 1 = rows_copied AS done_chunks_are_kept FROM fastcopy.status WHERE job = :job;

-- forget removes a job from the ledger; an unknown job is an error.
SET session_replication_role = replica;  -- which keeps foreign keys from cascading
SELECT fastcopy.forget(:job);
RESET session_replication_role;
SELECT count(*) FROM fastcopy.chunk WHERE job = :job;
\set VERBOSITY sqlstate
SELECT fastcopy.forget(:job);
SELECT fastcopy.wait(0);
SELECT fastcopy.cancel(0);
SELECT fastcopy.set_workers(0, 1);
SELECT fastcopy.cancel(max(job)) FROM fastcopy.status;
SELECT count(*) FROM fastcopy.workers;

DROP VIEW few;
DROP TABLE orders, orders_copy, orders_other, logged, analyzed, unanalyzed, none, parts;
DROP FUNCTION note_it;
