# Hypertables of TimescaleDB, on either side. The rows of a SELECT by the table's name arrive once, and a comparison
# does not repeat a copy's mistakes.
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

# Copies into an empty table of that definition, and checks the result by digest and by compare.
sub arrives
{
	my ($name, $from, $columns, %opts) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @more = $opts{args} ? $opts{args} : ();
	$target->safe_psql('postgres', "DROP TABLE IF EXISTS plain; CREATE TABLE plain ($columns)");
	my $select = "(SELECT * FROM $from" . ($opts{filter} ? " WHERE $opts{filter}" : '') . ')';
	push @more, "filter => '$opts{filter}'" if $opts{filter};
	my $expected = table_digest($source, $select);
	my ($rows) = split ' ', $expected;
	is($target->safe_psql('postgres', 'SET fastcopy.chunk_size = 64; SELECT ' . "fastcopy.copy(" . join(', ', "'$conninfo', '$from', 'plain', 3", @more) . ')'),
		$rows, "$name: all rows are reported");
	is(table_digest($target, 'plain'), $expected, "$name: and are stored");
	is(compare_total($from, 'plain', grep { !/^key/ } @more), "$rows|$rows|f", "$name: the comparison agrees");
	return;
}

# Ten chunks: some are compressed, one of these was written to afterwards; dropped and added columns.
$source->safe_psql('postgres', q(
	SET client_min_messages = error;
	CREATE TABLE m (gone int, t timestamptz NOT NULL, device int NOT NULL, v float8, note text);
	SELECT create_hypertable('m', 't', chunk_time_interval => interval '1 day');
	ALTER TABLE m DROP COLUMN gone;
	INSERT INTO m SELECT '2024-01-01'::timestamptz + g * interval '72 seconds', g % 7, g / 3.0, md5(g::text) FROM generate_series(0, 11999) g;
	CREATE INDEX ON m (device);
	ALTER TABLE m SET (timescaledb.compress, timescaledb.compress_segmentby = 'device', timescaledb.compress_orderby = 't DESC');
	SELECT count(compress_chunk(c)) FROM (SELECT c FROM show_chunks('m') c ORDER BY c LIMIT 6) s;
	ALTER TABLE m ADD COLUMN added int;
	INSERT INTO m SELECT '2024-01-02'::timestamptz + g * interval '1 second', 3, g, 'late', g FROM generate_series(1, 500) g;
	UPDATE m SET note = 'changed' WHERE t < '2024-01-01 01:00';));
my $columns = 't timestamptz, device int, v float8, note text, added int';
arrives('compressed chunks', 'm', $columns);
is($target->safe_psql('postgres', q(SELECT count(*) FILTER (WHERE relation NOT LIKE 'ONLY%') BETWEEN 5 AND 6,
		count(*) FILTER (WHERE kind = 'blocks') > 4 FROM fastcopy.chunks)),
	't|t', 'compressed chunks are read by their names, the others by ctid');
arrives('compressed chunks, with a key', 'm', $columns, args => "key => 'device'");
arrives('compressed chunks, with a filter', 'm', $columns, filter => 'device = 3 AND v > 100');

# A SELECT with ONLY, or COPY of the chunks, returns only the rows that are not compressed.
arrives('all of it, once more', 'm', $columns);
$target->safe_psql('postgres', q(DELETE FROM plain WHERE t < '2024-01-06'));
is(compare_total('m', 'plain') =~ s/\|\d+\|/|fewer|/r, '12500|fewer|t', 'missing rows are a difference');

$source->safe_psql('postgres', q(
	SET client_min_messages = error;
	CREATE TABLE s (t timestamptz NOT NULL, device int NOT NULL, v int);
	SELECT create_hypertable('s', 't', 'device', 3, chunk_time_interval => interval '1 day');
	INSERT INTO s SELECT '2024-01-01'::timestamptz + g * interval '60 seconds', g % 50, g FROM generate_series(0, 4999) g;
	ALTER TABLE s SET (timescaledb.compress, timescaledb.compress_segmentby = 'device');
	SELECT count(compress_chunk(c)) FROM (SELECT c FROM show_chunks('s') c ORDER BY c LIMIT 4) x;
	CREATE MATERIALIZED VIEW hourly WITH (timescaledb.continuous) AS
		SELECT time_bucket(interval '1 hour', t) AS hour, device, sum(v) AS v FROM s GROUP BY 1, 2 WITH NO DATA;
	CALL refresh_continuous_aggregate('hourly', NULL, '2024-01-03');
	CREATE TABLE nothing (t timestamptz NOT NULL, v int);
	SELECT create_hypertable('nothing', 't');));
arrives('space partitions', 's', 't timestamptz, device int, v int');
arrives('a continuous aggregate', 'hourly', 'hour timestamptz, device int, v bigint');
my $materialized = $source->safe_psql('postgres', q(SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)
	FROM timescaledb_information.continuous_aggregates));
arrives('its hypertable', $materialized, 'hour timestamptz, device int, v bigint');
arrives('an empty hypertable', 'nothing', 't timestamptz, v int');

# Into a hypertable: like COPY with identity, generated and missing columns, and triggers.
$target->safe_psql('postgres', q(
	SET client_min_messages = error;
	CREATE TABLE h (id bigint GENERATED ALWAYS AS IDENTITY, t timestamptz NOT NULL, device int NOT NULL, note varchar(40), v numeric(12,2),
		twice int GENERATED ALWAYS AS (device * 2) STORED, came text DEFAULT 'by default', UNIQUE (id, t));
	SELECT create_hypertable('h', 't', chunk_time_interval => interval '1 day');
	CREATE TABLE seen (n bigint);
	CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO seen VALUES (NEW.id); RETURN NEW; END';
	CREATE TRIGGER see AFTER INSERT ON h FOR EACH ROW EXECUTE FUNCTION see();));
$source->safe_psql('postgres', q(
	CREATE TABLE f (v numeric, note text, device int, t timestamptz, id bigint PRIMARY KEY);
	INSERT INTO f SELECT g / 100.0, 'note ' || g, g % 9, '2024-01-01'::timestamptz + g * interval '60 seconds', 1000000 + g FROM generate_series(1, 6000) g;));
my $all = '(SELECT id, t, device, note::text, v::numeric(12,2) FROM %s)';
my $copy = "SET fastcopy.chunk_size = 64; SELECT fastcopy.copy('$conninfo', 'f', 'h', 3, truncate => true)";
is($target->safe_psql('postgres', $copy), '6000', 'into a hypertable, in binary');
is(table_digest($target, sprintf $all, 'h'), table_digest($source, sprintf $all, 'f'), 'all values are stored');
is($target->safe_psql('postgres', q(SELECT count(*), count(*) FILTER (WHERE twice = device * 2 AND came = 'by default'),
	(SELECT count(DISTINCT n) FROM seen), (SELECT count(*) > 3 FROM show_chunks('h')), (SELECT count(*) FROM ONLY h) FROM h)), '6000|6000|6000|t|0',
	'generated columns, defaults and triggers are obeyed, and all rows are in chunks');
is($target->safe_psql('postgres', 'SELECT DISTINCT writer, writer_reason FROM fastcopy.job_table WHERE target = ' . q('h'::regclass)),
	'insert|the plan of its INSERT has Custom Scan (ModifyHypertable)', 'the ledger says why');
$source->safe_psql('postgres', 'ALTER TABLE f ADD pay money DEFAULT 3; ALTER TABLE f ADD x int[]');
$target->safe_psql('postgres', 'ALTER TABLE h ADD pay money; ALTER TABLE h ADD x int[]');
is($target->safe_psql('postgres', $copy), '6000', 'into a hypertable, in text');
is(table_digest($target, sprintf $all, 'h'), table_digest($source, sprintf $all, 'f'), 'all values are stored');
is($target->safe_psql('postgres', q(SELECT format FROM fastcopy.status ORDER BY job DESC LIMIT 1)), 'text', 'it was text');

# Rows that go into compressed chunks, and a target that is read when its rows are compressed.
$target->safe_psql('postgres', q(
	SET client_min_messages = error;
	CREATE TABLE c (LIKE h);
	ALTER TABLE c DROP COLUMN twice, DROP COLUMN came;
	SELECT create_hypertable('c', 't', chunk_time_interval => interval '1 day');
	ALTER TABLE c SET (timescaledb.compress, timescaledb.compress_segmentby = 'device');));
is($target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 'f', 'c', 2)"), '6000', 'into a hypertable that will be compressed');
$target->safe_psql('postgres', q(SELECT count(compress_chunk(c)) FROM show_chunks('c') c));
is(compare_total('f', 'c', q(columns => '{id,t,device,note}')), '6000|6000|f', 'compare agrees');
is($target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 'f', 'c', 2)"), '6000', 'and again, into the compressed chunks');
is($target->safe_psql('postgres', 'SELECT count(*), count(DISTINCT id) FROM c'), '12000|6000', 'all rows are stored');

fails_with($target, "SELECT fastcopy.copy('$conninfo', 'f', 'h', truncate => true, indexes => 'rebuild')", '0A000',
	qr/cannot rebuild the indexes of "public.h"/, 'indexes of a hypertable are not set aside', detail => qr/ModifyHypertable/);
fails_with($target, "SELECT fastcopy.copy('$conninfo', 'f', 'h', 1)", '23505', qr/duplicate key value/, 'of a constraint of a chunk, too');

# Workers are terminated and the server crashes in the middle of a chunk, at a row whose trigger waits.
add_hold($target);
$target->safe_psql('postgres', q(
	CREATE TRIGGER hold AFTER INSERT ON h FOR EACH ROW WHEN (NEW.id = 1003000) EXECUTE FUNCTION hold()));
sub start_held
{
	my $gate = $target->background_psql('postgres');
	hold_gate($gate);
	my $job = $target->safe_psql('postgres', "SET fastcopy.chunk_size = 64; SELECT fastcopy.start('$conninfo', 'f', 'h', 1, truncate => true)");
	await_lock($target, 'advisory');
	return ($job, $gate);
}
my ($job, $gate) = start_held();
$target->safe_psql('postgres', q(SELECT pg_terminate_backend(pid) FROM fastcopy.workers));
await_lock($target);
open_gate($gate);
$gate->quit;
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'a worker was terminated in a batch, and replaced');
is(table_digest($target, sprintf $all, 'h'), table_digest($source, sprintf $all, 'f'), 'each row is stored once');

($job, $gate) = start_held();
$target->stop('immediate');
wait_exit($gate);
$target->start;
is($target->safe_psql('postgres', "SELECT state FROM fastcopy.status WHERE job = $job"), 'interrupted', 'the server has crashed in a batch');
is($target->safe_psql('postgres', "SELECT sum(rows) = (SELECT count(*) FROM h) FROM fastcopy.chunks WHERE job = $job AND state = 'done'"), 't',
	'the number of rows is the ledger\'s');
$target->safe_psql('postgres', "SELECT fastcopy.resume($job)");
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'the job is resumed');
is(table_digest($target, sprintf $all, 'h'), table_digest($source, sprintf $all, 'f'), 'each row is stored once');
# Chunks that are compressed after a job has stopped: with ONLY, the remaining rows would not be found.
$target->safe_psql('postgres', "DROP TABLE plain; CREATE TABLE plain (t timestamptz, device int, v int)");
$source->safe_psql('postgres', q(
	SET client_min_messages = error;
	CREATE TABLE later (LIKE s);
	SELECT create_hypertable('later', 't', chunk_time_interval => interval '1 day');
	INSERT INTO later SELECT * FROM s;
	ALTER TABLE later SET (timescaledb.compress, timescaledb.compress_segmentby = 'device')));
$gate = $source->background_psql('postgres');
hold_gate($gate);
$job = $target->safe_psql('postgres', qq(SET fastcopy.chunk_size = 64;
	SELECT fastcopy.start('$conninfo', 'later', 'plain', 1, filter => 'v <> 2500 OR pg_advisory_xact_lock_shared(1) IS NOT NULL')));
await_lock($source);
$target->safe_psql('postgres', "SELECT fastcopy.cancel($job)");
wait_state($target, $job, 'cancelled');
open_gate($gate);
$gate->quit;
$source->safe_psql('postgres', q(SELECT count(compress_chunk(c)) FROM show_chunks('later') c));
fails_with($target, "SELECT fastcopy.resume($job)", '55000', qr/may have changed/, 'chunks were compressed since');
fails_with($target, "SELECT fastcopy.resume($job, accept_changes => true)", '55000', qr/no longer kept where the job was to read them/,
	'and changes that are accepted are no loss that is accepted');
no_leftovers($source, $target, 'hypertables', engine_segments => engine_segments('timescaledb', $target));

done_testing();
