# Another session wants to alter, truncate or drop the source table during a job, and queues behind it for a lock; a
# worker that connects later would queue behind that session, and the job would wait for the worker for ever.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FakeSource;
use FastcopyGate;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my ($source, $target) = start_pair();
my $rows = 2000;

# Rows wait at a gate on the target, which keeps workers in the middle of a chunk.
$source->safe_psql('postgres', qq(
	CREATE TABLE items (id integer PRIMARY KEY, name text);
	INSERT INTO items SELECT g, repeat('x', 100) FROM generate_series(1, $rows) g;
	CREATE TABLE parted (id integer, name text) PARTITION BY HASH (id);
	CREATE VIEW seen AS SELECT * FROM items));
$source->safe_psql('postgres', "CREATE TABLE parted_$_ PARTITION OF parted FOR VALUES WITH (MODULUS 70, REMAINDER $_)") for 0 .. 69;
$source->safe_psql('postgres', 'INSERT INTO parted SELECT * FROM items');
$target->safe_psql('postgres', q(
	CREATE TABLE items (id integer, name text);
	CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared(1); RETURN new; END';
	CREATE TRIGGER gate BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION gate()));
my $gatekeeper = $target->background_psql('postgres');
my $digest = table_digest($source, 'items');

# Starts a job and waits until so many workers wait at the gate.
my $retry_limit = 20;

sub start_gated
{
	my ($workers, %args) = @_;
	hold_gate($gatekeeper);
	my $job = $target->safe_psql('postgres', "TRUNCATE items; SET fastcopy.chunk_size = 8; SET fastcopy.retry_limit = $retry_limit; SET fastcopy.retry_delay = '100ms'; SELECT "
		  . call_sql('start', $source, source_table => 'items', target_table => 'items', workers => $workers, %args));
	at_gate($workers);
	return $job;
}

sub at_gate
{
	my ($workers) = @_;
	ok(wait_at_gate($target, $workers), "$workers at the gate");
	return;
}

# A session that waits for ACCESS EXCLUSIVE on the source; and its pid.
sub waiter
{
	my ($table) = @_;
	my $session = $source->background_psql('postgres', on_error_stop => 0);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	# One statement: after it is cancelled, no other statement queues again.
	$session->{stdin} .= "DO 'BEGIN LOCK TABLE $table IN ACCESS EXCLUSIVE MODE; END';\n";
	$session->{run}->pump_nb;
	$source->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_locks WHERE pid = $pid AND NOT granted") or die;
	return ($session, $pid);
}

sub give_up
{
	my ($pid) = @_;
	$source->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
	return;
}

sub notice_of { return $target->safe_psql('postgres', "SELECT notice FROM fastcopy.status WHERE job = $_[0]") }

sub is_right
{
	my ($name) = @_;
	is(table_digest($target, 'items'), $digest, $name);
	return;
}

# More workers: a new worker claims no chunk before it has the lock, and nothing waits for it.
my $job = start_gated(1);
my ($session, $pid) = waiter('items');
$target->safe_psql('postgres', "SELECT fastcopy.set_workers($job, 3)");
ok($target->poll_query_until('postgres', "SELECT notice LIKE '%Process $pid of the source waits for AccessExclusiveLock on public.items%' FROM fastcopy.status WHERE job = $job"),
	'set_workers: the notice names the waiting and the blocking process');
open_gate($gatekeeper);
wait_state($target, $job, 'done');
is_right('set_workers: those who are there do all');
is(notice_of($job), '', '... and the notice ends with the wait');
ok($source->poll_query_until('postgres', "SELECT state = 'idle' FROM pg_stat_activity WHERE pid = $pid"), 'and then the other gets its lock');
$session->quit;

# A lost connection: the worker retries as long as the others work, and continues when the other session has given up.
$job = start_gated(2);
($session, $pid) = waiter('items');
my $victim = $target->safe_psql('postgres', "SELECT source_pid FROM fastcopy.workers WHERE job = $job ORDER BY worker LIMIT 1");
$source->safe_psql('postgres', "SELECT pg_terminate_backend($victim)");
open_gate($gatekeeper);
ok($target->poll_query_until('postgres', "SELECT notice LIKE '%Process $pid %' FROM fastcopy.status WHERE job = $job"), 'retry: the notice names the waiting process');
give_up($pid);
wait_state($target, $job, 'done');
is_right('retry: and goes on when they have given up');
is(notice_of($job), '', 'which clears the notice');
quit_quietly($session);

# The other session does not give up: the job fails after a few attempts without a working worker, and that session
# gets its lock. The job can be resumed.
$retry_limit = 2;
$job = start_gated(2);
($session, $pid) = waiter('items');
$target->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM fastcopy.workers WHERE job = $job ORDER BY worker LIMIT 1");
open_gate($gatekeeper);
wait_state($target, $job, 'failed');
my ($sqlstate, $error, $detail, $hint) = split /\|/,
  $target->safe_psql('postgres', "SELECT sqlstate, error, detail, hint FROM fastcopy.status WHERE job = $job");
is($sqlstate, '55P03', 'replacement: the job fails at last');
like($error, qr/could not lock the source table/, 'with the reason');
like($detail, qr/Process $pid of the source waits for AccessExclusiveLock on public\.items; blocked by this job/, 'and names it');
like($hint, qr/fastcopy\.resume\($job\)/, 'and what to do');
ok($source->poll_query_until('postgres', "SELECT state = 'idle' FROM pg_stat_activity WHERE pid = $pid"), 'they get their lock');
$session->quit;
$target->safe_psql('postgres', "SELECT fastcopy.resume($job, accept_changes => true)");
wait_state($target, $job, 'done');
is_right('and the job is resumed');

# All connections of a job are lost at once, and no worker is left to work.
$job = start_gated(1);
($session, $pid) = waiter('items');
$source->safe_psql('postgres', "SELECT pg_terminate_backend(source_pid) FROM (VALUES ("
	  . $target->safe_psql('postgres', "SELECT source_pid FROM fastcopy.workers WHERE job = $job") . ')) w (source_pid)');
open_gate($gatekeeper);
like(wait_state($target, $job, 'failed|done'), qr/failed/, 'the only worker');
$session->quit;

$retry_limit = 20;

# A view, whose tables a worker does not lock by itself, and more partitions than it would.
for my $table (qw(seen parted))
{
	my $locked = $table eq 'seen' ? 'items' : 'parted_33';
	$job = start_gated(2, source_table => $table) if $table eq 'parted';
	$job = start_gated(1, source_table => $table) if $table eq 'seen';
	($session, $pid) = waiter($locked);
	$target->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM fastcopy.workers WHERE job = $job");
	open_gate($gatekeeper);
	ok($target->poll_query_until('postgres', "SELECT notice LIKE '%Process $pid %' OR state <> 'copying' FROM fastcopy.status WHERE job = $job"), "$table: somebody waits");
	give_up($pid);
	wait_state($target, $job, 'done');
	is_right("$table: and gives up");
	quit_quietly($session);
}

# The coordinator waits: it must not miss a worker that exits while it asks the source for its WAL position. The
# second query is answered late, when the one worker has exited, and says that there is nothing more to wait for.
$source->append_conf('postgresql.conf', 'wal_writer_delay = 500ms');
$source->reload;
my $slow = FakeSource->new($source, who => qr/coordinator/, on => qr/pg_current_wal_flush_lsn\(\), \(3000/,
	change => sub {
		my ($c, $type) = @_;
		$c->{asked}++ if $type eq 'D';
		usleep(2_000_000) if $type eq 'D' && $c->{asked} == 2;
		return undef;
	});
$source->safe_psql('postgres', 'CREATE TABLE other (n integer)');
$source->safe_psql('postgres', 'SET synchronous_commit = off; INSERT INTO other SELECT generate_series(1, 100)');
$job = $target->safe_psql('postgres', 'TRUNCATE items; SELECT '
	  . call_sql('start', $source, source => $slow->conninfo, source_table => 'items', target_table => 'items', workers => 1));
is(wait_state($target, $job, 'done'), 'done', 'a worker that exits meanwhile is not missed');
is_right('and the job is done');
$slow->stop;

quit_quietly($gatekeeper);
no_leftovers($source, $target, 'at the end');

done_testing();
