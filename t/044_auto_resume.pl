# Auto-resume: with the library preloaded, interrupted jobs whose source is a foreign server are resumed after a
# restart of the target, and after crash recovery.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair(target_conf => q(
shared_preload_libraries = 'pg_fastcopy'
restart_after_crash = on
));
my ($host, $port) = ($source->host, $source->port);
my $reader = $source->safe_psql('postgres', 'SELECT current_user');

$source->safe_psql('postgres', q(
	CREATE TABLE t (id bigint, note text);
	INSERT INTO t SELECT n, repeat('x', 60) || n FROM generate_series(1, 3000) n;));
# The trigger waits at row 1500 as long as the table `held` has a row.
$target->safe_psql('postgres', qq(
	CREATE ROLE app LOGIN;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO app;
	CREATE SERVER old FOREIGN DATA WRAPPER pg_fastcopy OPTIONS (host '$host', port '$port', dbname 'postgres');
	CREATE USER MAPPING FOR app SERVER old OPTIONS (user '$reader', password_required 'false');
	CREATE USER MAPPING FOR CURRENT_USER SERVER old OPTIONS (user '$reader');
	GRANT USAGE ON FOREIGN SERVER old TO app;
	CREATE TABLE held (i int);
	GRANT SELECT ON held TO app;
	CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS \$\$
	BEGIN
		WHILE NEW.id = 1500 AND EXISTS (SELECT FROM public.held) LOOP PERFORM pg_sleep(0.01); END LOOP;
		RETURN NEW;
	END \$\$;
	CREATE DATABASE without_extension;));

# Starts a job as the role from the source. Returns its id once it waits at the row.
sub held_job
{
	my ($user, $from) = @_;
	$target->safe_psql('postgres', qq(
		DROP TABLE IF EXISTS t;
		CREATE TABLE t (id bigint, note text);
		CREATE TRIGGER hold BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION hold();
		ALTER TABLE t OWNER TO "$user";
		INSERT INTO held VALUES (1)));
	my $job = $target->safe_psql('postgres', "SET fastcopy.chunk_size = '8kB'; SELECT fastcopy.start('$from', 't', 't', 1)",
		extra_params => [ '-U', $user ]);
	is_held($job);
	return $job;
}

# Waits until the job's worker is at the row.
sub is_held
{
	my ($job) = @_;
	defined seconds_until(sub {
		$target->safe_psql('postgres', qq(SELECT count(*) FROM pg_stat_activity a JOIN fastcopy.workers w USING (pid)
			WHERE w.job = $job AND a.wait_event = 'PgSleep')) eq '1'
	}) or die "job $job did not come to its row";
	return;
}

sub let_go
{
	$target->safe_psql('postgres', 'DELETE FROM held');
	return;
}

# The launcher has looked at all databases once it sleeps and no resumer is left.
sub launcher_is_done
{
	return seconds_until(sub {
		my $now = eval { $target->safe_psql('postgres', q(SELECT string_agg(backend_type || ' ' || coalesce(wait_event, ''), ', ')
			FROM pg_stat_activity WHERE backend_type IN ('fastcopy launcher', 'fastcopy resumer'))) };
		return defined $now && $now eq 'fastcopy launcher Extension';
	});
}

sub state_and_resumes
{
	my ($job) = @_;
	return $target->safe_psql('postgres', "SELECT state, resumes FROM fastcopy.status WHERE job = $job");
}

my $superuser = $target->safe_psql('postgres', 'SELECT current_user');
for my $user ($superuser, 'app')
{
	for my $mode ('immediate', 'fast')
	{
		my $job = held_job($user, 'old');
		$target->stop($mode);
		$target->start;
		is_held($job);
		is(state_and_resumes($job), 'copying|1', "$user, stop -m $mode: the job is resumed automatically");
		let_go();
		is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', "$user, stop -m $mode: it comes to its end");
		is(table_digest($target, 't'), table_digest($source, 't'), "$user, stop -m $mode: the rows are those of the source");
		is($target->safe_psql('postgres', "SELECT owner FROM fastcopy.status WHERE job = $job"), $user, "$user, stop -m $mode: it is still its owner's");
	}
}

# A process crashes: the postmaster restarts all others.
my $job = held_job('app', 'old');
my $worker = $target->safe_psql('postgres', 'SELECT pid FROM fastcopy.workers');
kill 'KILL', $worker;
ok(defined seconds_until(sub {
	(eval { state_and_resumes($job) } || '') eq 'copying|1' }), 'after SIGKILL of a worker and the recovery, the job is resumed automatically');
is_held($job);
let_go();
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'and comes to its end');
is(table_digest($target, 't'), table_digest($source, 't'), 'with the rows of the source');

# A job without progress is not resumed again, but can be resumed by hand. Chunks that a crash rolls back, as they
# were not flushed yet, would count as progress.
$job = held_job('app', 'old');
for my $times (1 .. 3)
{
	$target->safe_psql('postgres', 'CHECKPOINT');
	$target->stop('immediate');
	$target->start;
	is_held($job);
	is(state_and_resumes($job), "copying|$times", "resumed without progress, $times times");
}
$target->safe_psql('postgres', 'CHECKPOINT');
$target->stop('immediate');
$target->start;
ok(defined launcher_is_done(), 'the launcher has looked');
is(state_and_resumes($job), 'interrupted|3', 'a job without progress is not resumed again');
let_go();
is($target->safe_psql('postgres', "SELECT fastcopy.resume($job); SELECT fastcopy.wait($job)"), "$job\ndone", 'and resumed by hand');

# Jobs that cannot be resumed.
$job = held_job($superuser, conninfo($source));
$target->stop('immediate');
let_go_after_start();
is(state_and_resumes($job), 'interrupted|0', 'a job with a connection string is not resumed automatically');
is($target->safe_psql('postgres', "SELECT fastcopy.resume($job); SELECT fastcopy.wait($job)"), "$job\ndone", 'and continues when resumed by hand');

$job = held_job('app', 'old');
$target->stop('immediate');
$source->safe_psql('postgres', 'UPDATE t SET note = note WHERE id = 1');
my $log_end = -s $target->logfile;
let_go_after_start();
is(state_and_resumes($job), 'interrupted|0', 'a job whose source table has changed is not resumed');
like(slurp_file($target->logfile, $log_end), qr/fastcopy job $job could not be resumed: source table "t" may have changed/, 'and the log says why');
$target->safe_psql('postgres', "SELECT fastcopy.forget($job)");

$job = held_job('app', 'old');
$target->safe_psql('postgres', 'ALTER ROLE app NOLOGIN');
$target->stop('immediate');
$log_end = -s $target->logfile;
let_go_after_start();
is(state_and_resumes($job), 'interrupted|0', 'a job whose role cannot log in is not resumed');
like(slurp_file($target->logfile, $log_end), qr/fastcopy job $job could not be resumed: role of the job cannot log in/, 'and the log says why');
$target->safe_psql('postgres', 'ALTER ROLE app LOGIN');

$job = held_job('app', 'old');
$target->append_conf('postgresql.conf', "fastcopy.auto_resume = off\n");
$target->stop('immediate');
let_go_after_start();
is(state_and_resumes($job), 'interrupted|0', 'with fastcopy.auto_resume = off no job is resumed');

sub let_go_after_start
{
	$target->start;
	ok(defined launcher_is_done(), 'the launcher has looked');
	let_go();
	return;
}

done_testing();
