# A hypertable is moved with all its dependent objects, as docs/recipes.md describes: from hypertable to hypertable,
# chunks that were compressed and written to again, real-time aggregates, triggers, foreign keys, sequences, sizes;
# and compression during a job.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyEngine;
use FastcopyGate;
use FastcopyTest;
use PostgreSQL::Test::Utils;
use Test::More;

skip_without('timescaledb');

my $conf = engine_conf('timescaledb');
my ($source, $target) = start_pair(source_conf => $conf, target_conf => $conf);
my $conninfo = conninfo($source);
$_->safe_psql('postgres', 'SET client_min_messages = error; CREATE EXTENSION timescaledb') for $source, $target;

sub copy_into
{
	my ($from, $to, @more) = @_;
	return $target->safe_psql('postgres', 'SET fastcopy.chunk_size = 64; SELECT fastcopy.copy(' . join(', ', "'$conninfo', '$from', '$to', 3", @more) . ')');
}

# Compressed by segment and order; then written to in all ways, in each of these chunks; one is compressed again.
$source->safe_psql('postgres', q(
	SET client_min_messages = error;
	CREATE TABLE m (t timestamptz NOT NULL, dropped text, device int NOT NULL, v float8);
	SELECT create_hypertable('m', 't', chunk_time_interval => interval '1 day');
	INSERT INTO m SELECT '2024-01-01'::timestamptz + g * interval '72 seconds', repeat('x', g % 9), g % 7, g / 3.0 FROM generate_series(0, 11999) g;
	ALTER TABLE m SET (timescaledb.compress, timescaledb.compress_segmentby = 'device', timescaledb.compress_orderby = 't DESC, v');
	SELECT count(compress_chunk(c)) FROM (SELECT c FROM show_chunks('m') c ORDER BY c LIMIT 6) s;
	UPDATE m SET v = -v WHERE device = 5 AND t < '2024-01-04';
	DELETE FROM m WHERE device = 2 AND t < '2024-01-03';
	INSERT INTO m SELECT '2024-01-01'::timestamptz + g * interval '1000 seconds', 'late', 3, g FROM generate_series(1, 500) g;
	SELECT compress_chunk(c) FROM (SELECT c FROM show_chunks('m') c ORDER BY c OFFSET 1 LIMIT 1) s;
	ALTER TABLE m DROP COLUMN dropped;
	ALTER TABLE m ADD COLUMN added text DEFAULT 'since';
	INSERT INTO m VALUES ('2024-01-01 12:00', 6, 0, 'now'), ('2024-01-05 12:00', 6, 0, NULL)));
my ($rows, $updated) = split /\|/, $source->safe_psql('postgres', 'SELECT count(*), count(*) FILTER (WHERE v < 0) FROM m');
cmp_ok($updated, '>', 100, 'rows of compressed chunks were updated');

# Other chunks than the source has, and a space dimension.
$target->safe_psql('postgres', q(
	SET client_min_messages = error;
	CREATE TABLE m (added text, t timestamptz NOT NULL, device int NOT NULL, v float8);
	SELECT create_hypertable('m', 't', chunk_time_interval => interval '2 days');
	SELECT add_dimension('m', 'device', number_partitions => 2)));
my $all = '(SELECT t, device, v, added FROM m)';
my $expected = table_digest($source, $all);
is(copy_into('m', 'm'), $rows, 'from hypertable to hypertable');
is(table_digest($target, $all), $expected, 'all rows are stored');
is(compare_total('m', 'm'), "$rows|$rows|f", 'the comparison agrees');
is($target->safe_psql('postgres', 'SELECT reader, writer FROM fastcopy.status ORDER BY job DESC LIMIT 1'), 'leaves|insert', 'read by leaves, written by INSERT');
$target->safe_psql('postgres', q(
	SET client_min_messages = error;
	ALTER TABLE m SET (timescaledb.compress, timescaledb.compress_segmentby = 'device', timescaledb.compress_orderby = 't DESC');
	SELECT count(compress_chunk(c)) FROM show_chunks('m') c));
is(compare_total('m', 'm'), "$rows|$rows|f", 'and when both are compressed');
is(copy_into('m', 'm', 'truncate => true'), $rows, 'truncate empties compressed chunks');
is(table_digest($target, $all), $expected, 'each row is stored once');

# The table itself has no size; its chunks have.
my $gate = $source->background_psql('postgres');
hold_gate($gate);
my $job = $target->safe_psql('postgres', qq(SET fastcopy.chunk_size = 64;
	SELECT fastcopy.start('$conninfo', 'm', 'm', 1, truncate => true, filter => 't < ''2024-01-09'' OR pg_advisory_xact_lock_shared(1) IS NOT NULL')));
await_lock($source);
is($target->safe_psql('postgres', "SELECT percent BETWEEN 1 AND 99, chunks > 10 FROM fastcopy.status WHERE job = $job"), 't|t', 'the job shows its progress');
open_gate($gate);
$gate->quit;
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'it continues');

# The job's only chunk is compressed: progress refers to its former size.
$source->safe_psql('postgres', q(
	SET client_min_messages = error;
	CREATE TABLE one (t timestamptz NOT NULL, v int);
	SELECT create_hypertable('one', 't', chunk_time_interval => interval '1 year');
	INSERT INTO one SELECT '2024-02-01'::timestamptz + g * interval '1 second', g FROM generate_series(1, 20000) g;
	ALTER TABLE one SET (timescaledb.compress);
	SELECT compress_chunk(c) FROM show_chunks('one') c));
$target->safe_psql('postgres', q(
	CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN IF NEW.v = 10000 THEN PERFORM pg_advisory_xact_lock_shared(1); END IF; RETURN NEW; END';
	CREATE TABLE one (t timestamptz, v int);
	CREATE TRIGGER hold BEFORE INSERT ON one FOR EACH ROW EXECUTE FUNCTION hold()));
$gate = $target->background_psql('postgres');
hold_gate($gate);
$job = $target->safe_psql('postgres', "SELECT fastcopy.start('$conninfo', 'one', 'one', 1)");
await_lock($target);
is($target->safe_psql('postgres', "SELECT percent BETWEEN 1 AND 99, chunks FROM fastcopy.status WHERE job = $job"), 't|1', 'the size of a compressed chunk is known');
open_gate($gate);
$gate->quit;
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'and it is copied');

# A real-time aggregate: partly stored, partly computed, each time in another order; so its sums are of whole numbers.
$source->safe_psql('postgres', q(
	SET client_min_messages = error;
	CREATE MATERIALIZED VIEW daily WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
		SELECT time_bucket(interval '1 day', t) AS day, device, count(*) AS n, sum(floor(v)) AS v FROM m GROUP BY 1, 2 WITH NO DATA));
$source->safe_psql('postgres', q(CALL refresh_continuous_aggregate('daily', NULL, '2024-01-05')));
my $materialized = $source->safe_psql('postgres', q(SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)
	FROM timescaledb_information.continuous_aggregates));
$target->safe_psql('postgres', 'CREATE TABLE daily (day timestamptz, device int, n bigint, v float8)');
my ($days, $stored) = map { $source->safe_psql('postgres', "SELECT count(*) FROM $_") } 'daily', $materialized;
cmp_ok($days, '>', $stored, 'a part of the aggregate is not stored');
is(copy_into('daily', 'daily'), $days, 'a real-time aggregate');
is(table_digest($target, 'daily'), table_digest($source, 'daily'), 'as its SELECT gives it');
is(compare_total('daily', 'daily'), "$days|$days|f", 'the comparison agrees');
$source->safe_psql('postgres', q(SET client_min_messages = error; ALTER MATERIALIZED VIEW daily SET (timescaledb.compress)));
$source->safe_psql('postgres', qq(SELECT compress_chunk(c) FROM show_chunks('$materialized') c));
is(copy_into($materialized, 'daily', 'truncate => true'), $stored, 'the hypertable behind it, compressed');
is(table_digest($target, 'daily'), table_digest($source, $materialized), 'all rows are stored');

# The target's dependent objects.
$source->safe_psql('postgres', q(
	CREATE TABLE f (id bigint, t timestamptz NOT NULL, kind int);
	INSERT INTO f SELECT g, '2024-01-01'::timestamptz + g * interval '60 seconds', g % 10 FROM generate_series(1, 6000) g));
$target->safe_psql('postgres', q(
	SET client_min_messages = error;
	CREATE TABLE kinds (id int PRIMARY KEY);
	INSERT INTO kinds SELECT generate_series(0, 9);
	CREATE TABLE h (id bigserial, t timestamptz NOT NULL, kind int REFERENCES kinds);
	SELECT create_hypertable('h', 't', chunk_time_interval => interval '1 day');
	CREATE TABLE seen (n bigint);
	CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO seen VALUES (NEW.id); RETURN NEW; END';
	CREATE TRIGGER see AFTER INSERT ON h FOR EACH ROW EXECUTE FUNCTION see()));
is(copy_into('f', 'h', 'triggers => false'), '6000', 'without triggers');
is(table_digest($target, '(SELECT id, t, kind FROM h)'), table_digest($source, 'f'), 'all rows are stored');
is($target->safe_psql('postgres', 'SELECT count(*), (SELECT count(*) FROM ONLY h) FROM seen'), '0|0', 'in chunks, and no trigger has fired');
is($target->safe_psql('postgres', q(INSERT INTO h (t, kind) VALUES ('2024-01-01', 1) RETURNING id)), '6001', 'its sequence was moved on');
is($target->safe_psql('postgres', q(SELECT count(*) > 1 FROM pg_stats WHERE tablename LIKE '_hyper%' AND attname = 'kind')), 't', 'its chunks were analyzed');
$target->safe_psql('postgres', 'TRUNCATE h; DELETE FROM kinds WHERE id = 7');
fails_with($target, "SELECT fastcopy.copy('$conninfo', 'f', 'h', 2, triggers => false)", '23503', qr/violates foreign key constraint/,
	'foreign keys are checked in the end');
fails_with($target, "SELECT fastcopy.copy('$conninfo', 'f', 'h', 2, truncate => true)", '23503', qr/violates foreign key constraint/,
	'or by triggers');
$target->safe_psql('postgres', 'INSERT INTO kinds VALUES (7); TRUNCATE h, seen');

# A role with the least privileges.
my $user = $source->safe_psql('postgres', 'SELECT current_user');
my ($host, $port) = ($source->host, $source->port);
$target->safe_psql('postgres', qq(
	CREATE ROLE pupil LOGIN;
	GRANT INSERT ON h TO pupil;
	GRANT USAGE ON SEQUENCE h_id_seq TO pupil;
	GRANT INSERT ON seen TO pupil;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO pupil;
	CREATE SERVER there FOREIGN DATA WRAPPER pg_fastcopy OPTIONS (host '$host', port '$port', dbname 'postgres');
	GRANT USAGE ON FOREIGN SERVER there TO pupil;
	CREATE USER MAPPING FOR pupil SERVER there OPTIONS (user '$user', password_required 'false')));
my ($status, $stdout, $stderr) = run_verbose($target, "SELECT fastcopy.copy('there', 'f', 'h', 2)", user => 'pupil');
is($stdout, '6000', 'a role that may only insert') or diag $stderr;
is(table_digest($target, '(SELECT id, t, kind FROM h)'), table_digest($source, 'f'), 'all rows are stored');

# Chunks of the target that are compressed while a job runs: their rows move to other files, as after TRUNCATE.
$target->safe_psql('postgres', q(TRUNCATE h; ALTER TABLE h SET (timescaledb.compress)));
$gate = $source->background_psql('postgres');
hold_gate($gate);
$job = $target->safe_psql('postgres', qq(SET fastcopy.chunk_size = 64;
	SELECT fastcopy.start('$conninfo', 'f', 'h', 1, filter => 'id <> 5900 OR pg_advisory_xact_lock_shared(1) IS NOT NULL')));
await_lock($source);
$target->safe_psql('postgres', q(SET client_min_messages = error; SELECT compress_chunk(c) FROM (SELECT c FROM show_chunks('h') c ORDER BY c LIMIT 1) s));
open_gate($gate);
$gate->quit;
wait_state($target, $job, 'failed');
like($target->safe_psql('postgres', "SELECT error FROM fastcopy.status WHERE job = $job"), qr/may have lost rows/, 'compression during a job ends it');
is($target->safe_psql('postgres', "SELECT fastcopy.resume($job, accept_changes => true)"), $job, 'it has all rows, so the job can be resumed');
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'to its end');
is(table_digest($target, '(SELECT id, t, kind FROM h)'), table_digest($source, 'f'), 'each row is stored once');
no_leftovers($source, $target, 'moving hypertables', engine_segments => engine_segments('timescaledb', $target));

done_testing();
