# Stopping: however a job is ended, its processes exit within 2 seconds, even if the source sends nothing, and the
# target has only the rows that the ledger lists.
#
# Each job is brought into one of these situations, and then ended in every possible way:
#
#     flowing   rows come slowly but all the time, into several workers
#     flooding  rows come as fast as one worker can take them
#     silent    the source's sessions wait for a lock that the test holds
#     frozen    the source's processes are stopped by a signal, its postmaster too: it sends nothing
#               and answers nothing, like a host that hangs
#     blocked   the worker waits for a lock on the target
#
# The time is written to the test's log. The test fails only after much more than 2 seconds, as the machine may be
# busy with other things.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use FastcopyGate;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $limit = 10 * $slowness;

my @frozen;    # processes that a test has stopped

# A stopped process cannot be shut down, so it is continued first.
sub thaw
{
	kill 'CONT', @frozen;
	@frozen = ();
	return;
}

END
{
	my $status = $?;
	thaw();
	$? = $status;
}

my ($source, $target) = start_pair(target_conf => "restart_after_crash = on\n");

# The rows of a flowing job take at least a minute, and under valgrind six.
my $drop = $slowness == 1 ? 0.03 : 0.2;    # seconds
$source->safe_psql('postgres', qq(
CREATE TABLE public.items (id bigint, name text);
INSERT INTO public.items SELECT g, repeat('x', 100) FROM generate_series(1, 100000) g;
CREATE VIEW public.flood AS SELECT generate_series(1, 1000000000)::bigint AS id, 'x'::text AS name;

CREATE FUNCTION public.drip(id bigint) RETURNS boolean LANGUAGE plpgsql AS
'BEGIN
	IF id % 10 = 0 THEN PERFORM pg_catalog.pg_sleep($drop); END IF;
	RETURN true;
END';

CREATE FUNCTION public.gate(id bigint) RETURNS boolean LANGUAGE plpgsql AS
'BEGIN
	IF id % 100 = 1 THEN PERFORM pg_catalog.pg_advisory_xact_lock_shared(1); END IF;
	RETURN true;
END';
));
my $new_target = 'DROP TABLE IF EXISTS public.items;
	CREATE TABLE public.items (id bigint PRIMARY KEY, name text)';
$target->safe_psql('postgres', $new_target);

# Hold the silent and the blocked jobs.
my $gatekeeper = $source->background_psql('postgres');
hold_gate($gatekeeper);

my %situations = (
	flowing  => { workers => 4, filter => 'public.drip(id)' },
	flooding => { workers => 1, source_table => 'public.flood' },
	silent   => { workers => 4, filter => 'public.gate(id)' },
	frozen   => { workers => 4, filter => 'public.drip(id)' },
	blocked  => { workers => 1 });

sub call
{
	my ($function, %arguments) = @_;
	return "SET fastcopy.chunk_size = '64kB'; SELECT " . call_sql($function, $source, %arguments);
}

# Waits until the job of this database is in the situation. Returns a hash with its id, its processes and the sessions
# that hold it there.
sub watch_job
{
	my ($situation, %opts) = @_;
	my $dbname  = $opts{dbname} || 'postgres';
	my $workers = $situations{$situation}{workers};
	my %job     = (situation => $situation, dbname => $dbname, helper => $opts{helper});

	my $ready =
	  $situation eq 'silent'
	  ? wait_at_gate($source, $workers)
	  : $situation eq 'blocked'
	  ? $target->poll_query_until('postgres',
		q(SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted))
	  : $target->poll_query_until($dbname,
		"SELECT count(*) = $workers FROM fastcopy.workers WHERE rows_in_chunk > 0");
	die "the job is not $situation\n" unless $ready;

	$job{id} = $target->safe_psql($dbname, 'SELECT job FROM fastcopy.live_jobs()');
	$job{workers} = [ split /\n/, $target->safe_psql($dbname, 'SELECT pid FROM fastcopy.workers') ];
	$job{coordinator} = $target->safe_psql($dbname, 'SELECT coordinator_pid FROM fastcopy.live_jobs()');
	$job{pids} = [ @{ $job{workers} }, $job{coordinator} ];
	if ($situation eq 'frozen')
	{
		@frozen = split /\n/, $source->safe_psql('postgres',
			q(SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'fastcopy%'));
		push @frozen, $source->{_pid};
		kill 'STOP', @frozen;
	}
	return \%job;
}

# Starts a job and waits until it is in the situation.
sub begin_job
{
	my ($situation, %opts) = @_;
	my $dbname = $opts{dbname} || 'postgres';
	my $helper;
	if ($situation eq 'blocked')
	{
		$helper = $target->background_psql($dbname);
		$helper->query_safe('BEGIN; INSERT INTO public.items (id) VALUES (1)');
	}
	$target->safe_psql($dbname, call('start', %{ $situations{$situation} }));
	return watch_job($situation, %opts, helper => $helper);
}

# Starts copy() in a session of its own, after the given SQL.
sub begin_copy
{
	my ($situation, $settings) = @_;
	my $session =
	  $target->background_psql('postgres', extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	$session->query_until(qr/sent/,
		"\\echo sent\n" . ($settings || '') . call('copy', %{ $situations{$situation} }) . ";\n");
	my $job = watch_job($situation);
	$job->{session} = $session;
	$job->{session_pid} = $pid;
	return $job;
}

# Asserts that the job's processes exit, and logs how soon.
sub goes_soon
{
	my ($job, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $seconds = seconds_until(sub { gone(@{ $job->{pids} }) }, $limit);
	note sprintf '%s: gone after %.2f s', $name, $seconds if defined $seconds;
	diag sprintf '%s: took %.2f s', $name, $seconds if defined $seconds && $seconds > 2;
	ok(defined $seconds, "$name: the processes are gone");
	return;
}

# Asserts how the job has ended, that the target has the rows that the ledger lists, and that nothing else is left.
sub ended
{
	my ($job, $state, $sqlstate, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	thaw();
	$job->{helper}->query_safe('ROLLBACK') if $job->{helper};
	$job->{helper}->quit if $job->{helper};
	is( $target->safe_psql('postgres', "SELECT state, sqlstate FROM fastcopy.status WHERE job = $job->{id}"),
		"$state|$sqlstate", "$name: the job reads $state");
	is( $target->safe_psql('postgres',
			"SELECT coalesce(sum(rows), 0) FROM fastcopy.chunks WHERE job = $job->{id} AND state = 'done'"),
		$target->safe_psql('postgres', 'SELECT count(*) FROM public.items'),
		"$name: the target has the rows of the chunks that are done");
	no_leftovers($source, $target, $name);
	is( $target->safe_psql('postgres', "SELECT fastcopy.wait($job->{id}), fastcopy.cancel($job->{id})"),
		"$state|f", "$name: there is nothing to wait for or to cancel") if $state ne 'failed';
	$target->safe_psql('postgres', "SELECT fastcopy.forget($job->{id}); $new_target");
	return;
}

my @everywhere = qw(flowing flooding silent frozen blocked);

for my $situation (@everywhere)
{
	my $name = "cancel, $situation";
	my $job  = begin_job($situation);
	is($target->safe_psql('postgres', "SELECT fastcopy.cancel($job->{id})"), 't', "$name: says so");
	goes_soon($job, $name);
	ended($job, 'cancelled', '', $name);
}

# A job that is cancelled several times in a row ends as cancelled.
for my $situation (qw(flowing silent))
{
	my $name = "cancel again and again, $situation";
	my $job  = begin_job($situation);
	$target->safe_psql('postgres',
		"SELECT fastcopy.cancel($job->{id}), pg_sleep(0.001) FROM generate_series(1, 50)");
	goes_soon($job, $name);
	ended($job, 'cancelled', '', $name);
}

# copy() ends its job when its statement is cancelled or its session is terminated.
for my $situation (qw(flowing silent frozen))
{
	my $name = "copy() cancelled, $situation";
	my $job  = begin_copy($situation);
	$target->safe_psql('postgres', "SELECT pg_cancel_backend($job->{session_pid})");
	goes_soon($job, $name);
	my $error = error_parts(wait_exit($job->{session}));
	is("$error->{sqlstate}: $error->{message}", '57014: canceling statement due to user request',
		"$name: the caller is told");
	ended($job, 'cancelled', '', $name);
}
for my $situation (qw(flowing silent frozen))
{
	my $name = "session in copy() terminated, $situation";
	my $job  = begin_copy($situation);
	$target->safe_psql('postgres', "SELECT pg_terminate_backend($job->{session_pid})");
	goes_soon($job, $name);
	my $error = error_parts(wait_exit($job->{session}));
	is($error->{sqlstate}, '57P01', "$name: the caller is told");
	ended($job, 'cancelled', '', $name);
}
{
	my $name  = 'statement_timeout in copy()';
	my $limit = 4 + $slowness;    # seconds, in which the job must have become silent
	my $job   = begin_copy('silent', "SET statement_timeout = '${limit}s'; ");
	my $error = error_parts(wait_exit($job->{session}));
	is("$error->{sqlstate}: $error->{message}", '57014: canceling statement due to statement timeout',
		"$name: the caller is told");
	goes_soon($job, $name);
	ended($job, 'cancelled', '', $name);
}

# copy() raises an error if another session ends its job.
{
	my $name = 'cancel of the job of copy()';
	my $job = begin_copy('silent');
	$target->safe_psql('postgres', "SELECT fastcopy.cancel($job->{id})");
	goes_soon($job, $name);
	my $error = error_parts(wait_exit($job->{session}));
	is("$error->{sqlstate}: $error->{message}", "57014: fastcopy job $job->{id} was cancelled",
		"$name: the caller is told");
	ended($job, 'cancelled', '', $name);

	$name = 'coordinator of copy() terminated';
	$job = begin_copy('silent');
	$target->safe_psql('postgres', "SELECT pg_terminate_backend($job->{coordinator})");
	goes_soon($job, $name);
	$error = error_parts(wait_exit($job->{session}));
	is("$error->{sqlstate}: $error->{message}", "57000: fastcopy job $job->{id} was interrupted",
		"$name: the caller is told");
	ended($job, 'interrupted', '', $name);
}

# Signals to the processes. A worker that is cancelled fails, one that is terminated is replaced; a coordinator that
# is cancelled ends its job, one that is terminated leaves the job interrupted.
for my $situation (@everywhere)
{
	my $name = "worker cancelled, $situation";
	my $job  = begin_job($situation);
	$target->safe_psql('postgres', "SELECT pg_cancel_backend($job->{workers}[0])");
	goes_soon($job, $name);
	ended($job, 'failed', '57014', $name);

	$name = "worker terminated, $situation";
	$job  = begin_job($situation);
	$target->safe_psql('postgres', "SELECT pg_terminate_backend($job->{workers}[-1])");
	my $known = join ',', @{ $job->{workers} };
	ok(defined seconds_until(sub {
		$target->safe_psql('postgres', "SELECT count(*) FROM fastcopy.workers WHERE pid NOT IN ($known)") eq '1'
	}), "$name: it is replaced");
	$target->safe_psql('postgres', "SELECT fastcopy.cancel($job->{id})");
	goes_soon($job, $name);
	ended($job, 'cancelled', '', $name);

	$name = "coordinator terminated, $situation";
	$job  = begin_job($situation);
	$target->safe_psql('postgres', "SELECT pg_terminate_backend($job->{coordinator})");
	goes_soon($job, $name);
	ended($job, 'interrupted', '', $name);
}
{
	my $name = 'coordinator cancelled, silent';
	my $job  = begin_job('silent');
	$target->safe_psql('postgres', "SELECT pg_cancel_backend($job->{coordinator})");
	goes_soon($job, $name);
	ended($job, 'cancelled', '', $name);
}

# Dropping the database drops the ledger too: the test can only see that no process is left.
for my $situation (qw(flowing silent frozen))
{
	my $name = "DROP DATABASE, $situation";
	$target->safe_psql('postgres', 'CREATE DATABASE doomed');
	$target->safe_psql('doomed', "CREATE EXTENSION pg_fastcopy; $new_target");
	my $job = begin_job($situation, dbname => 'doomed');
	$target->safe_psql('postgres', 'DROP DATABASE doomed WITH (FORCE)');
	goes_soon($job, $name);
	thaw();
	no_leftovers($source, $target, $name);
}

# Shutdown and crash: the job is interrupted when the server is back.
for my $situation (qw(flowing flooding silent frozen))
{
	my $name = "fast shutdown, $situation";
	my $job  = begin_job($situation);
	my $taken = seconds_until(sub { $target->stop('fast'); 1 });
	note sprintf '%s: stopped after %.2f s', $name, $taken;
	ok(gone(@{ $job->{pids} }), "$name: the processes are gone");
	$target->start;
	ended($job, 'interrupted', '', $name);
}
{
	my $name = 'worker killed';
	my $job  = begin_job('flowing');
	kill 'KILL', $job->{workers}[0];
	goes_soon($job, $name);
	$target->poll_query_until('postgres', 'SELECT true') or die 'the server did not come back';
	ended($job, 'interrupted', '', $name);

	$name = 'coordinator killed';
	$job  = begin_job('silent');
	kill 'KILL', $job->{coordinator};
	goes_soon($job, $name);
	$target->poll_query_until('postgres', 'SELECT true') or die 'the server did not come back';
	ended($job, 'interrupted', '', $name);
}

# start() waits for a source that does not answer: the caller can cancel it.
{
	my $name = 'start() cancelled while the source does not answer';
	@frozen = ($source->{_pid});
	kill 'STOP', @frozen;
	fails_with($target, "SET statement_timeout = '1s'; " . call('start'),
		'57014', qr/^canceling statement due to statement timeout$/, $name);
	my $seconds = seconds_until(
		sub {
			$target->safe_psql('postgres',
				"SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'fastcopy%'") eq '0';
		}, $limit);
	ok(defined $seconds, "$name: the coordinator is gone");
	note sprintf '%s: gone after %.2f s', $name, $seconds // -1;
	thaw();
	is($target->safe_psql('postgres', 'SELECT count(*) FROM fastcopy.job'), '0', "$name: no job");
	no_leftovers($source, $target, $name);

	# The same for workers that connect later.
	$name = 'cancel while new workers wait for the source\'s answer';
	my $job = begin_job('silent');
	@frozen = ($source->{_pid});
	kill 'STOP', @frozen;
	$target->safe_psql('postgres', "SELECT fastcopy.set_workers($job->{id}, 6)");
	$target->poll_query_until('postgres', 'SELECT count(*) = 6 FROM fastcopy.workers')
	  or die 'no new workers';
	$job->{pids} = [ split /\n/, $target->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'fastcopy%'") ];
	is($target->safe_psql('postgres', "SELECT fastcopy.cancel($job->{id})"), 't', "$name: says so");
	goes_soon($job, $name);
	ended($job, 'cancelled', '', $name);
}

# start() waits for a lock of another session: the caller can cancel it.
{
	my $name = 'start() cancelled while the target is locked';
	my $locker = $target->background_psql('postgres');
	$locker->query_safe('BEGIN; LOCK TABLE public.items');
	fails_with($target, "SET statement_timeout = '1s'; " . call('start'),
		'57014', qr/^canceling statement due to statement timeout$/, $name);
	$locker->query_safe('ROLLBACK');
	$locker->quit;
	is($target->safe_psql('postgres', 'SELECT count(*) FROM fastcopy.job'), '0', "$name: no job");
	no_leftovers($source, $target, $name);
}

# More and fewer workers while the job runs.
{
	my $job = begin_job('flowing');
	my $id  = $job->{id};
	my $set = sub { return $target->safe_psql('postgres', "SELECT fastcopy.set_workers($id, $_[0])") };
	my $has = sub {
		my ($workers, $name) = @_;
		local $Test::Builder::Level = $Test::Builder::Level + 1;
		ok( $target->poll_query_until('postgres', qq(
				SELECT s.workers = $workers AND (SELECT count(*) FROM fastcopy.workers w WHERE w.job = s.job) = $workers
				FROM fastcopy.status s WHERE s.job = $id)),
			$name);
		is($target->safe_psql('postgres', "SELECT state, workers_wanted FROM fastcopy.status WHERE job = $id"),
			"copying|$workers", "$name: and says so");
	};
	is($set->(7), '4', 'set_workers returns the former number');
	$has->(7, 'set_workers up');
	is($set->(2), '7', 'set_workers returns the former number, again');
	$has->(2, 'set_workers down');
	is($set->(5), '2', 'set_workers up again');
	$has->(5, 'set_workers up again');
	$set->(1);
	is($set->(3), '1', 'set_workers down and up at once');
	$has->(3, 'set_workers down and up at once');
	is($set->(1024), '3', 'set_workers to more than there are slots');
	ok( $target->poll_query_until('postgres', 'SELECT count(*) > 15 FROM fastcopy.workers'),
		'set_workers takes what slots there are');
	for my $wrong (0, -1, 1025)
	{
		fails_with($target, "SELECT fastcopy.set_workers($id, $wrong)",
			'22023', qr/^number of workers must be between 1 and 1024$/, "set_workers to $wrong");
	}
	is($target->safe_psql('postgres', "SELECT fastcopy.set_workers($id, NULL) IS NULL"),
		't', 'set_workers to null changes nothing');

	# wait() and forget() of a running job.
	is($target->safe_psql('postgres', "SELECT fastcopy.wait($id, '200 ms')"), 'copying', 'wait with a timeout');
	is($target->safe_psql('postgres', "SELECT fastcopy.wait($id, '0')"), 'copying', 'wait with no time at all');
	is($target->safe_psql('postgres', "SELECT fastcopy.wait($id, '-1 day')"),
		'copying', 'wait with a timeout that has passed');
	fails_with($target, "SET statement_timeout = '200 ms'; SELECT fastcopy.wait($id)",
		'57014', qr/statement timeout/, 'wait that times out as a statement');
	is($target->safe_psql('postgres', "SELECT state FROM fastcopy.status WHERE job = $id"),
		'copying', 'wait that times out leaves the job alone');
	fails_with($target, "SELECT fastcopy.forget($id)",
		'55006', qr/^fastcopy job $id is running$/, 'forget a job that runs', hint => qr/Cancel it/);

	# Sessions in wait() notice the end, even in a transaction whose snapshot is older.
	my @waiters = map { $target->background_psql('postgres') } 1 .. 2;
	$waiters[1]->query_safe("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT state FROM fastcopy.status WHERE job = $id");
	$_->query_until(qr/sent/, "\\echo sent\nSELECT fastcopy.wait($id);\n\\echo over\n") for @waiters;
	ok( $target->poll_query_until('postgres',
			"SELECT count(*) = 2 FROM pg_stat_activity
			 WHERE query LIKE '%fastcopy.wait($id)%' AND wait_event_type = 'Extension'"),
		'sessions wait');
	$target->safe_psql('postgres', "SELECT fastcopy.cancel($id)");
	like($waiters[0]->query_until(qr/over/, ''), qr/^cancelled$/m, 'a session in wait() hears of the end');
	like($waiters[1]->query_until(qr/over/, ''), qr/^cancelled$/m, '... also in REPEATABLE READ');
	is($waiters[1]->query_safe("SELECT fastcopy.wait($id)"), 'cancelled', '... and again');
	$_->quit for @waiters;

	# The functions for an ended job.
	is($target->safe_psql('postgres', "SELECT fastcopy.wait($id)"),
		'cancelled', 'wait for a job that was cancelled');
	is($target->safe_psql('postgres', "SELECT fastcopy.wait($id, '1 s')"),
		'cancelled', 'wait for it with a timeout');
	is($target->safe_psql('postgres', "SELECT fastcopy.cancel($id)"), 'f', 'cancel a job that has ended');
	fails_with($target, "SELECT fastcopy.set_workers($id, 2)",
		'55000', qr/^fastcopy job $id is not running$/, 'set_workers of a job that has ended');
	$target->safe_psql('postgres', "SELECT fastcopy.forget($id)");
	is( $target->safe_psql('postgres',
			'SELECT (SELECT count(*) FROM fastcopy.job), (SELECT count(*) FROM fastcopy.chunk)'),
		'0|0', 'forget a job that has ended');
	no_leftovers($source, $target, 'set_workers');

	for my $call ("wait($id)", "wait($id, '1 s')", "cancel($id)", "set_workers($id, 2)", "forget($id)", 'wait(-1)')
	{
		my ($number) = $call =~ /(-?\d+)/;
		fails_with($target, "SELECT fastcopy.$call",
			'42704', qr/^fastcopy job $number does not exist$/, "$call of an unknown job");
	}
	is( $target->safe_psql('postgres', 'SELECT fastcopy.wait(NULL) IS NULL,
			fastcopy.cancel(NULL) IS NULL, fastcopy.forget(NULL) IS NULL'),
		't|t|t', 'null is no job');
}

$gatekeeper->quit;
$target->stop;
my $log = slurp_file($target->logfile);
is(join("\n", grep { !/terminated by signal 9/ } $log =~ /^(.*(?:terminated by signal|PANIC: |TRAP: ).*)$/mg),
	'', 'no process has crashed but those that were killed');

done_testing();
