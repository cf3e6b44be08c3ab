# Small tables of fastcopy.clone are copied many in one transaction: what happens to all of them when one fails, when
# their worker is terminated, retired or cancelled among them, and when a source table is truncated under them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyGate;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $count = 60;
my ($source, $target) = start_pair(target_conf => "fastcopy.retry_delay = '10ms'\n");
my $conninfo = conninfo($source);
my @tables   = map { "t_$_" } 1 .. $count;
$target->safe_psql('postgres', q(
	CREATE FUNCTION passes(id integer) RETURNS boolean LANGUAGE plpgsql AS
		'BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared(1); RETURN true; END'));
my $gatekeeper = $target->background_psql('postgres');

# Tables of ten rows, and more in the first, which is not small.
sub make_tables
{
	for my $node ($source, $target)
	{
		$node->safe_psql('postgres', join ';', map { "DROP TABLE IF EXISTS $_; CREATE TABLE $_ (id integer PRIMARY KEY, what text)" } @tables);
	}
	$source->safe_psql('postgres', join ';', map { "INSERT INTO $_ SELECT g, '$_ ' || g FROM generate_series(1, " . ($_ eq 't_1' ? 20_000 : 10) . ') g' } @tables);
	return;
}

# A row of this table waits at the gate.
sub hold_table { $target->safe_psql('postgres', "ALTER TABLE $_[0] ADD CONSTRAINT gate CHECK (id % 100 <> 5 OR passes(id))"); return }

sub start
{
	my ($workers) = @_;
	return $target->safe_psql('postgres', "SET fastcopy.chunk_size = 64; SELECT fastcopy.clone('$conninfo', workers => $workers, definitions => 'keep', statistics => false)");
}

sub start_gated
{
	my ($workers, @held) = @_;
	make_tables();
	hold_table($_) for @held;
	hold_gate($gatekeeper);
	my $job = start($workers);
	wait_at_gate($target, scalar @held) or die 'no worker is at the gate';
	return $job;
}

sub differing { return join ' ', grep { table_digest($source, $_) ne table_digest($target, $_) } @tables }

# All rows once, and the ledger and the counters say so.
sub is_complete
{
	my ($job, $name) = @_;
	is($target->safe_psql('postgres', "SELECT state, error FROM fastcopy.status WHERE job = $job"), 'done|', "$name: done");
	is(differing(), '', '... with all rows once');
	is($target->safe_psql('postgres', "SELECT count(*), sum(rows) FROM fastcopy.tables WHERE job = $job AND state = 'done'"),
		"$count|" . (20_000 + 10 * ($count - 1)), '... in the ledger');
	is($target->safe_psql('postgres', "SELECT chunks_done = chunks, rows_copied FROM fastcopy.status WHERE job = $job"),
		't|' . (20_000 + 10 * ($count - 1)), '... and in the status');
	return;
}

sub transactions { return $target->safe_psql('postgres', "SELECT count(DISTINCT c.xmin::text) FROM fastcopy.chunk c JOIN fastcopy.job_table t ON t.job = c.job AND t.number = c.table_number WHERE c.job = $_[0] AND target_table <> 'public.t_1'") }

make_tables();
my $job = start(2);
wait_state($target, $job, 'done');
is_complete($job, 'small tables');
cmp_ok(transactions($job), '<', $count / 2, '... in few transactions');

# A table that triggers write from has a transaction of its own.
make_tables();
add_hold($target);
$target->safe_psql('postgres', "CREATE TRIGGER hold BEFORE INSERT ON $_ FOR EACH ROW EXECUTE FUNCTION hold()") for @tables;
$job = start(2);
wait_state($target, $job, 'done');
is_complete($job, 'tables with triggers');
is(transactions($job), $count - 1, '... each in a transaction');

# One of them violates a constraint.
make_tables();
$target->safe_psql('postgres', 'ALTER TABLE t_30 ADD CONSTRAINT few CHECK (id < 5)');
$job = start(1);
wait_state($target, $job, 'failed');
like($target->safe_psql('postgres', "SELECT error || ': ' || context FROM fastcopy.job WHERE job = $job"),
	qr/"t_30" violates check constraint "few".*table (?:public\.)?t_30\b/s, 'a violation: the error names the table');
is($target->safe_psql('postgres', "SELECT target_table FROM fastcopy.job j JOIN fastcopy.chunk c ON c.job = j.job AND c.chunk = failed_chunk JOIN fastcopy.job_table t ON t.job = c.job AND t.number = c.table_number WHERE j.job = $job"),
	$target->safe_psql('postgres', "SELECT target_table FROM fastcopy.job_table WHERE job = $job AND target = 't_30'::regclass"), '... and so does the chunk');
my %done = map { $_ => 1 } split /\n/, $target->safe_psql('postgres', "SELECT target::regclass FROM fastcopy.job_table t WHERE job = $job AND EXISTS (SELECT FROM fastcopy.chunk c WHERE c.job = t.job AND c.table_number = t.number AND c.done)");
is(join(' ', grep { ($target->safe_psql('postgres', "SELECT count(*) FROM $_") > 0) != !!$done{$_} } @tables), '', '... tables have rows if they are done');
$target->safe_psql('postgres', 'ALTER TABLE t_30 DROP CONSTRAINT few');
$target->safe_psql('postgres', "SELECT fastcopy.resume($job, '$conninfo')");
wait_state($target, $job, 'done');
is_complete($job, 'resumed');

# The worker is terminated, between two tables of many and at the last. They are in the order of their names.
for my $held ('t_30', 't_36')
{
	$job = start_gated(1, $held);
	my $pid = $target->safe_psql('postgres', "SELECT pid FROM fastcopy.workers WHERE job = $job");
	$target->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	$target->poll_query_until('postgres', "SELECT count(*) = 1 FROM fastcopy.workers WHERE job = $job AND pid <> $pid AND chunk IS NOT NULL") or die 'no other worker';
	open_gate($gatekeeper);
	wait_state($target, $job, 'done|failed');
	is_complete($job, "worker terminated in $held");
}

# Again and again, so that its successors are terminated within what it has left.
$job = start_gated(1, 't_30');
for (1 .. 3)
{
	my $pid = $target->safe_psql('postgres', "SELECT pid FROM fastcopy.workers WHERE job = $job");
	$target->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	$target->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'fastcopy worker' AND pid <> $pid AND wait_event = 'advisory'") or die 'no other worker';
}
open_gate($gatekeeper);
wait_state($target, $job, 'done|failed');
is_complete($job, 'worker and its successors terminated');

# The job is cancelled.
$job = start_gated(1, 't_30');
$target->safe_psql('postgres', "SELECT fastcopy.cancel($job)");
wait_state($target, $job, 'cancelled');
open_gate($gatekeeper);
is($target->safe_psql('postgres', 'SELECT count(*) FROM t_30'), '0', 'cancelled: no row stays');
$target->safe_psql('postgres', "SELECT fastcopy.resume($job, '$conninfo')");
wait_state($target, $job, 'done|failed');
is_complete($job, 'cancelled and resumed');

# One of two workers is to leave: it does what it has claimed.
$job = start_gated(2, 't_12', 't_30');
$target->safe_psql('postgres', "SELECT fastcopy.set_workers($job, 1)");
open_gate($gatekeeper);
wait_state($target, $job, 'done|failed');
is_complete($job, 'one worker left');

# A worker that has to wait for a lock copies one by one, and gives back what it has not begun when it is to leave.
make_tables();
hold_table('t_1');
hold_gate($gatekeeper);
$job = start(2);
wait_at_gate($target, 2) or die 'no two workers are at the gate';
$gatekeeper->query_safe('BEGIN; LOCK TABLE ' . join(', ', map { "t_$_" } 2 .. $count));
open_gate($gatekeeper);
$target->poll_query_until('postgres', "SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'fastcopy worker' AND wait_event_type = 'Lock'") or die 'no two workers wait';
$target->safe_psql('postgres', "SELECT fastcopy.set_workers($job, 1)");
$gatekeeper->query_safe('COMMIT');
wait_state($target, $job, 'done|failed');
is_complete($job, 'one worker left what it had claimed');

# A source table is truncated among them. The coordinator's lock goes with its connection.
$job = start_gated(1, 't_30');
my $chunk = $target->safe_psql('postgres', "SELECT chunk FROM fastcopy.workers WHERE job = $job");
my $later = $target->safe_psql('postgres', "SELECT target::regclass FROM fastcopy.chunk c JOIN fastcopy.job_table t ON t.job = c.job AND t.number = c.table_number WHERE c.job = $job AND chunk = $chunk + 3");
$source->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'fastcopy job $job coordinator%'");
$source->safe_psql('postgres', "TRUNCATE $later");
open_gate($gatekeeper);
wait_state($target, $job, 'done|failed');
like($target->safe_psql('postgres', "SELECT state, error FROM fastcopy.status WHERE job = $job"), qr/^failed\|source table $later was truncated or rewritten/, 'a truncated table is noticed');
is($target->safe_psql('postgres', "SELECT count(*) FROM fastcopy.chunk WHERE job = $job AND chunk BETWEEN $chunk AND $chunk + 3 AND done"), '0', '... before its rows count as copied');

$gatekeeper->quit;
no_leftovers($source, $target, 'at the end');
done_testing();
