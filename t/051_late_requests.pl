# Requests to a job that has copied all of its rows: cancel() and pg_cancel_backend() while indexes are built or the
# target is analyzed, and set_workers(). A request that returns true takes effect.
#
# An index expression waits for a lock of the test: never while rows are inserted, and while the index is built or the
# table analyzed if the table `control` says so.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyGate;
use FastcopyTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair();
my $rows = 500;

$source->safe_psql('postgres', qq(
CREATE TABLE public.items (id bigint, name text);
INSERT INTO public.items SELECT g, 'name ' || g FROM generate_series(1, $rows) g));
my $expected = table_digest($source, 'public.items');

$target->safe_psql('postgres', q(
CREATE TABLE public.control (phase text);
CREATE FUNCTION public.slow(id bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS
'BEGIN
	IF (SELECT phase FROM public.control) =
		(CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_stat_progress_analyze WHERE pid = pg_catalog.pg_backend_pid()) THEN ''analyze''
			WHEN EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index WHERE pid = pg_catalog.pg_backend_pid()) THEN ''index''
			ELSE ''insert'' END)
	THEN
		PERFORM pg_catalog.pg_advisory_xact_lock_shared(1);
	END IF;
	RETURN id;
END'));

my $gatekeeper = $target->background_psql('postgres');
my $held = q(FROM pg_stat_activity WHERE backend_type LIKE 'fastcopy%' AND wait_event = 'advisory');

# Starts a job and waits until it is held in that phase; with in_copy => 1, by copy() in the session $caller.
my $caller;
sub hold_in
{
	my ($phase, %arguments) = @_;
	$target->safe_psql('postgres', qq(
		DROP TABLE IF EXISTS public.items;
		CREATE TABLE public.items (id bigint PRIMARY KEY, name text);
		CREATE INDEX slow ON public.items (public.slow(id));
		CREATE INDEX one ON public.items (name);
		CREATE INDEX two ON public.items (name, id);
		TRUNCATE public.control;
		INSERT INTO public.control VALUES ('$phase')));
	hold_gate($gatekeeper);
	if (delete $arguments{in_copy})
	{
		$caller = $target->background_psql('postgres', on_error_stop => 0);
		$caller->query_until(qr/sent/, "\\echo sent\nSELECT " . call_sql('copy', $source, workers => 1, %arguments) . ";\n");
	}
	else { $target->safe_psql('postgres', 'SELECT ' . call_sql('start', $source, workers => 1, %arguments)) }
	$target->poll_query_until('postgres', "SELECT count(*) = 1 $held") or die "no process is held while it should $phase";
	return $target->safe_psql('postgres', 'SELECT job FROM fastcopy.live_jobs()');
}

sub let_go
{
	$gatekeeper->query_safe('SELECT pg_advisory_unlock_all()');
	$target->safe_psql('postgres', 'TRUNCATE public.control');
	return;
}

sub cancels
{
	my ($phase, $name, $sql, %arguments) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $job = hold_in($phase, %arguments);
	my $waiter = $target->background_psql('postgres', on_error_stop => 0);
	$waiter->query_until(qr/sent/, "\\echo sent\nSELECT fastcopy.wait($job);\n");
	is($target->safe_psql('postgres', $sql =~ s/JOB/$job/r), 't', "$name: it is accepted");
	# The lock is still held: the job does not wait for it.
	is(wait_state($target, $job, 'done|failed|cancelled|interrupted'), 'cancelled', "$name: the job is cancelled");
	is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'cancelled', "$name: wait() says so");
	quit_quietly($waiter);
	let_go();
	no_leftovers($source, $target, $name);
	is($target->safe_psql('postgres', "SELECT fastcopy.resume($job); SELECT fastcopy.wait($job)"), "$job\ndone",
		"$name: it is resumed and comes to its end");
	is(table_digest($target, 'public.items'), $expected, "$name: each row is there once");
	is($target->safe_psql('postgres', q(SELECT bool_and(indisvalid AND indisready) FROM pg_index WHERE indrelid = 'public.items'::regclass)),
		't', "$name: all indexes are valid");
	return;
}

my $cancel_backend = q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'fastcopy coordinator');
cancels('analyze', 'cancel() during ANALYZE',             'SELECT fastcopy.cancel(JOB)');
cancels('analyze', 'pg_cancel_backend() during ANALYZE',  $cancel_backend);
cancels('analyze', 'cancel() during ANALYZE after a rebuild', 'SELECT fastcopy.cancel(JOB)', indexes => 'rebuild');
cancels('index',   'cancel() during a rebuild',           'SELECT fastcopy.cancel(JOB)', indexes => 'rebuild');
cancels('index',   'pg_cancel_backend() during a rebuild', $cancel_backend, indexes => 'rebuild');

# copy() in a session that is cancelled.
{
	my $name = 'copy() during ANALYZE';
	my $job  = hold_in('analyze', in_copy => 1);
	$target->safe_psql('postgres', q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query ~ '^SELECT fastcopy\.copy'));
	is(wait_state($target, $job, 'done|failed|cancelled'), 'cancelled', "$name: the job is cancelled with its caller");
	let_go();
	quit_quietly($caller);
}

# If ANALYZE fails by itself, the job does not fail.
{
	my $name = 'ANALYZE that fails';
	my $job = hold_in('analyze');
	$target->safe_psql('postgres', "SELECT pg_terminate_backend(pid) $held");
	is(wait_state($target, $job, 'interrupted|done|failed'), 'interrupted', 'a coordinator that is terminated then leaves an interrupted job');
	let_go();
	$target->safe_psql('postgres', q(
		CREATE OR REPLACE FUNCTION public.slow(id bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS
		'BEGIN
			IF EXISTS (SELECT FROM pg_catalog.pg_stat_progress_analyze WHERE pid = pg_catalog.pg_backend_pid()) THEN
				RAISE EXCEPTION ''not today'';
			END IF;
			RETURN id;
		END'));
	is($target->safe_psql('postgres', "SELECT fastcopy.resume($job); SELECT fastcopy.wait($job)"), "$job\ndone", "$name: the job is done");
	like(slurp_file($target->logfile), qr/could not analyze public\.items.*not today/, "$name: the log says why");
	$target->safe_psql('postgres', q(CREATE OR REPLACE FUNCTION public.slow(id bigint) RETURNS bigint IMMUTABLE LANGUAGE sql AS 'SELECT id'));
}

# set_workers() while indexes are built: either that many workers build, or the call says that it is too late.
$target->safe_psql('postgres', q(
CREATE OR REPLACE FUNCTION public.slow(id bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS
'BEGIN
	IF EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index WHERE pid = pg_catalog.pg_backend_pid()) THEN
		PERFORM pg_catalog.pg_advisory_xact_lock_shared(1);
	END IF;
	RETURN id;
END'));
{
	my $name = 'set_workers() while indexing';
	$target->safe_psql('postgres', q(
		DROP TABLE public.items;
		CREATE TABLE public.items (id bigint, name text);
		CREATE INDEX one ON public.items (public.slow(id));
		CREATE INDEX two ON public.items (public.slow(id + 1));
		CREATE INDEX three ON public.items (public.slow(id + 2))));
	hold_gate($gatekeeper);
	my $job = $target->safe_psql('postgres', 'SELECT ' . call_sql('start', $source, workers => 1, indexes => 'rebuild'));
	wait_state($target, $job, 'indexing');
	$target->poll_query_until('postgres', "SELECT count(*) = 1 $held") or die 'no index is being built';
	my ($status, $stdout, $stderr) = run_verbose($target, "SELECT fastcopy.set_workers($job, 3)");
	if ($status == 0)
	{
		is($stdout, '1', "$name: it returns the former number");
		ok($target->poll_query_until('postgres', "SELECT count(*) = 3 $held"), "$name: so many build now");
	}
	else
	{
		my $error = error_parts($stderr);
		is($error->{sqlstate}, '55000', "$name: it is refused") or diag $stderr;
		is($target->safe_psql('postgres', "SELECT workers_wanted FROM fastcopy.status WHERE job = $job"), '1',
			"$name: and the number stays");
	}
	$gatekeeper->query_safe('SELECT pg_advisory_unlock_all()');
	is(wait_state($target, $job, 'done|failed'), 'done', "$name: the job comes to its end");
	is($target->safe_psql('postgres', q(SELECT count(*), bool_and(indisvalid AND indisready) FROM pg_index WHERE indrelid = 'public.items'::regclass)),
		'3|t', "$name: all indexes are valid");
}

$gatekeeper->quit;
no_leftovers($source, $target, 'at the end');
done_testing();
