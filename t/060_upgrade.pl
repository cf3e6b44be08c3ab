# Upgrade from version 0.1.0: a library that is newer than the SQL objects of a database raises an error; after ALTER
# EXTENSION UPDATE the jobs of the old ledger are listed, and can be resumed and forgotten.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair();
my $conninfo = conninfo($source);
my $new      = $target->safe_psql('postgres', q(SELECT extversion FROM pg_extension WHERE extname = 'pg_fastcopy'));

$target->safe_psql('postgres', q(DROP EXTENSION pg_fastcopy; CREATE EXTENSION pg_fastcopy VERSION '0.1.0'));
$source->safe_psql('postgres', q(CREATE TABLE t (id bigint PRIMARY KEY, v text); INSERT INTO t SELECT g, md5(g::text) FROM generate_series(1, 3000) g));
$target->safe_psql('postgres', q(CREATE TABLE t (id bigint, v text)));

# All functions about jobs raise an error with a hint.
my $too_old = qr/^extension "pg_fastcopy" has version 0\.1\.0 in this database, but the library has version \Q$new\E$/;
my %calls = (
	start       => "fastcopy.start('$conninfo', 't', 't')",
	copy        => "fastcopy.copy('$conninfo', 't', 't', 2, 'id', NULL, NULL, true, 'keep', true, true)",
	compare     => "fastcopy.compare('$conninfo', 't', 't')",
	wait        => 'fastcopy.wait(1)',
	cancel      => 'fastcopy.cancel(1)',
	resume      => 'fastcopy.resume(1)',
	set_workers => 'fastcopy.set_workers(1, 2)',
	forget      => 'fastcopy.forget(1)',
	status      => '* FROM fastcopy.status',
	workers     => '* FROM fastcopy.workers',
	progress    => '* FROM fastcopy.progress');
for my $name (sort keys %calls)
{
	fails_with($target, "SELECT $calls{$name}", '55000', $too_old, "$name with objects that are too old");
}
my ($code, $out, $error) = $target->psql('postgres', 'SELECT fastcopy.cancel(1)');
like($error, qr/HINT:  Run ALTER EXTENSION pg_fastcopy UPDATE\./, 'and says what to do');
is($target->safe_psql('postgres', 'SELECT count(*) FROM t'), '0', 'nothing was copied');

# A ledger as 0.1.0 leaves it: job 1 is done; job 2 has failed, with the first of its two chunks copied; job 3 was
# running when the server was stopped.
$target->safe_psql('postgres', sprintf(q(
	CREATE TABLE done (LIKE t); CREATE TABLE failed (LIKE t); CREATE TABLE interrupted (LIKE t);
	INSERT INTO failed SELECT g, md5(g::text) FROM generate_series(1, 1499) g;
	SELECT setval('fastcopy.job_id', 3);
	INSERT INTO fastcopy.job (job, owner, source, source_table, target_table, target, columns, column_types, format, truncate,
		indexes, triggers, statistics, workers, state, chunks, started_at, finished_at, sqlstate, error, failed_chunk, target_files, target_unlogged)
	SELECT job, (SELECT oid FROM pg_roles WHERE rolname = current_user), %1$s, 'public.t', 'public.' || name, ('public.' || name)::regclass,
		'{id,v}', '{20,25}', 'binary', false, 'keep', true, true, 2, state, 2, now() - interval '1 hour',
		CASE WHEN state <> 'copying' THEN now() - interval '30 min' END, sqlstate, error, failed_chunk,
		ARRAY[('public.' || name)::regclass::oid || ' ' || pg_relation_filenode('public.' || name)], false
	FROM (VALUES (1, 'done', 'done', NULL, NULL, NULL), (2, 'failed', 'failed', '53100', 'could not extend file', 2),
		(3, 'interrupted', 'copying', NULL, NULL, NULL)) j (job, name, state, sqlstate, error, failed_chunk);
	INSERT INTO fastcopy.chunk (job, chunk, relation, kind, key, key_type, less, not_less, lower_bound, upper_bound, done,
		rows, rows_sent, bytes, worker, retries, started_at, finished_at)
	SELECT job, chunk, 'public.t', 'range', '"id"', 'bigint', 'OPERATOR(pg_catalog.<)', 'OPERATOR(pg_catalog.>=)',
		CASE chunk WHEN 2 THEN '1500' END, CASE chunk WHEN 1 THEN '1500' END, done,
		n, n, n * 50, w, w - 1, CASE WHEN done THEN now() END, CASE WHEN done THEN now() END
	FROM (SELECT job, chunk, job = 1 OR job = 2 AND chunk = 1 FROM generate_series(1, 3) job, generate_series(1, 2) chunk) c (job, chunk, done),
		LATERAL (SELECT CASE WHEN done THEN 1499 + (chunk - 1) * 2 END, CASE WHEN done THEN 1 END) m (n, w);
	ALTER EXTENSION pg_fastcopy UPDATE;), FastcopyTest::_literal($conninfo)));

is($target->safe_psql('postgres', q(SELECT extversion FROM pg_extension WHERE extname = 'pg_fastcopy')), $new, 'the objects are updated');
is($target->safe_psql('postgres', q(SELECT job, state, chunks_done, chunks, rows_copied, error, source_table, target_table FROM fastcopy.status ORDER BY job)),
	"1|done|2|2|3000||public.t|public.done\n2|failed|1|2|1499|could not extend file|public.t|public.failed\n3|interrupted|0|2|0||public.t|public.interrupted",
	'the jobs are listed as they were left');

is($target->safe_psql('postgres', q(SELECT job, number, target_table, state, chunks_done, chunks, rows, format FROM fastcopy.tables ORDER BY job)),
	"1|1|public.done|done|2|2|3000|binary\n2|1|public.failed|failed|1|2|1499|binary\n3|1|public.interrupted|pending|0|2|0|binary", 'each has its table');

# It has no markers of the source, like jobs of 0.1.0 whose source provides none: the caller must accept changes.
$target->safe_psql('postgres', "SELECT fastcopy.resume(2, '$conninfo', accept_changes => true), fastcopy.resume(3, '$conninfo')");
for my $job (2, 3)
{
	is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', "job $job is resumed to its end");
}
for my $table (qw(failed interrupted))
{
	is($target->safe_psql('postgres', "SELECT source_rows, target_rows, differs FROM fastcopy.compare('$conninfo', 't', '$table') WHERE range = 'total'"),
		'3000|3000|f', "all rows are in $table, once");
}
$target->safe_psql('postgres', 'SELECT fastcopy.forget(job) FROM fastcopy.status');
is($target->safe_psql('postgres', 'SELECT count(*) FROM fastcopy.status'), '0', 'and they can be forgotten');

# A new job gets the next number.
is($target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 't', 't')"), '3000', 'a new job copies');
is($target->safe_psql('postgres', 'SELECT max(job) FROM fastcopy.status'), '4', 'under the next number');

# In the same session: cached lookups do not outlive the change.
my $session = $target->background_psql('postgres', on_error_stop => 0);
$session->query('SELECT count(*) FROM fastcopy.status');
$target->safe_psql('postgres', q(DROP EXTENSION pg_fastcopy; CREATE EXTENSION pg_fastcopy VERSION '0.1.0'));
$session->query('SELECT count(*) FROM fastcopy.status');
like($session->{stderr}, qr/has version 0\.1\.0 in this database, but the library has version \Q$new\E/, 'a session that knew the new objects notices that they are gone');
$session->quit;
$target->safe_psql('postgres', 'ALTER EXTENSION pg_fastcopy UPDATE');

no_leftovers($source, $target, 'in the end');
done_testing();
