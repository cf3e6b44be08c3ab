# A worker that comes back to the source after the coordinator's session there has gone, but before the coordinator
# has noticed, is told that there is no such snapshot. That passes: another worker still has it.
#
# The coordinator is stopped by a signal, so that it notices nothing until it is allowed to.
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
my $workers  = 3;

my $frozen;
END
{
	my $status = $?;
	kill 'CONT', $frozen if $frozen;
	$? = $status;
}

$source->safe_psql('postgres', q(
CREATE TABLE public.items (id bigint, name text);
INSERT INTO public.items SELECT g, 'name ' || g FROM generate_series(1, 20000) g;
CREATE FUNCTION public.gate(id bigint) RETURNS boolean LANGUAGE plpgsql AS
'BEGIN
	IF id % 1000 = 1 THEN PERFORM pg_catalog.pg_advisory_xact_lock_shared(1); END IF;
	RETURN true;
END';
));
my $expected = table_digest($source, 'public.items');
$target->safe_psql('postgres', 'CREATE TABLE public.items (id bigint, name text)');

my $gatekeeper = $source->background_psql('postgres');
$gatekeeper->query_safe('SELECT pg_advisory_lock(1)');
my $job = $target->safe_psql('postgres', qq(
	SET fastcopy.chunk_size = '64kB'; SET fastcopy.retry_delay = '10ms'; SET fastcopy.retry_limit = 1;
	SELECT fastcopy.start('$conninfo', 'public.items', 'public.items', $workers, filter => 'public.gate(id)')));
my $at_gate = q(SELECT count(*) = %d FROM pg_locks WHERE locktype = 'advisory' AND NOT granted);
$source->poll_query_until('postgres', sprintf $at_gate, $workers) or die 'workers did not come to the gate';

$frozen = $target->safe_psql('postgres',
	q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'fastcopy coordinator'));
kill 'STOP', $frozen;
$source->safe_psql('postgres', q(
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name LIKE 'fastcopy job % coordinator'));
$source->safe_psql('postgres', q(
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name LIKE 'fastcopy job % chunk %' LIMIT 1));

# A worker that has given up is one less; then the rest of the test fails. Its first retry finds no snapshot; from then on
# it waits for one, which is no retry: with one more the job would fail.
ok(defined seconds_until(sub { slurp_file($source->logfile) =~ /ERROR:  (?:invalid snapshot identifier|snapshot .* does not exist)/ }),
	'the source no longer knows the snapshot');
$target->poll_query_until('postgres', qq(
	SELECT wait_event = 'Extension' FROM pg_stat_activity a JOIN fastcopy.workers w USING (pid) WHERE w.job = $job AND w.retries > 0))
  or die 'the worker does not wait';
is($target->safe_psql('postgres', "SELECT count(*), sum(retries) FROM fastcopy.workers WHERE job = $job"),
	"$workers|1", 'the worker waits for the snapshot');

# Rows that came later show whose snapshot it is.
$source->safe_psql('postgres', q(INSERT INTO public.items SELECT -g, 'late' FROM generate_series(1, 500) g));
kill 'CONT', $frozen;
$frozen = undef;
$gatekeeper->query_safe('SELECT pg_advisory_unlock(1)');
is(wait_state($target, $job, 'failed|done'), 'done', 'the job is done');
is(table_digest($target, 'public.items'), $expected, 'by the snapshot that it began with');

# The same while a job that is resumed has its rows counted: nobody takes the snapshot over at that point.
$source->safe_psql('postgres', 'DELETE FROM public.items WHERE id < 0');
$target->safe_psql('postgres', 'TRUNCATE public.items; ALTER TABLE public.items ADD CONSTRAINT few CHECK (id < 15000)');
$job = $target->safe_psql('postgres', qq(
	SET fastcopy.chunk_size = '64kB';
	SELECT fastcopy.start('$conninfo', 'public.items', 'public.items', 2, filter => 'public.gate(id)')));
is(wait_state($target, $job, 'failed|done'), 'failed', 'a job stops in the middle');
$target->safe_psql('postgres', 'ALTER TABLE public.items DROP CONSTRAINT few');
$source->safe_psql('postgres', 'SELECT txid_current()');
$gatekeeper->query_safe('SELECT pg_advisory_lock(1)');
my $resumer = $target->background_psql('postgres', on_error_stop => 0);
$resumer->query_until(qr/sent/, "\\echo sent\nSELECT fastcopy.resume($job);\n\\echo over\n");
$source->poll_query_until('postgres', sprintf $at_gate, 2) or die 'workers did not come to the gate';
$source->safe_psql('postgres', q(SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name LIKE 'fastcopy job %'));
$resumer->query_until(qr/over/, '');
like($resumer->{stderr}, qr/lost the connection to the source server/, 'a resume that loses all its connections ends with an error');
$gatekeeper->query_safe('SELECT pg_advisory_unlock(1)');
$resumer->quit;
is($target->safe_psql('postgres', "SELECT fastcopy.resume($job); SELECT fastcopy.wait($job)"), "$job\ndone", '... and works when it is called again');
is(table_digest($target, 'public.items'), $expected, '... with each row once');

$gatekeeper->quit;
no_leftovers($source, $target, 'at the end');
done_testing();
