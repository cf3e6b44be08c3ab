# Resuming a job: after failure, cancel, crash and restart of either server, only the chunks that are not done are
# copied, and never after a change of source or target that the caller has not accepted.
#
# Jobs stop at a known place: a trigger on the target waits for an advisory lock, or fails, at one row. With one
# worker and chunks of a page, all chunks before that row's are then done, and none after it. The column `copied_at`
# of the target shows which rows a resumed job has inserted.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair(
	source_conf => "wal_level = replica\nmax_wal_senders = 4\n",
	target_conf => "fastcopy.retry_delay = '10ms'\n");
our $conninfo = conninfo($source);

$source->safe_psql('postgres', q(
	CREATE TABLE elsewhere (i int);
));
$target->safe_psql('postgres', q(
	CREATE TABLE control (stop_at bigint, how text);
	CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$
	DECLARE c record;
	BEGIN
		SELECT * INTO c FROM public.control;
		IF NEW.id = c.stop_at THEN
			IF c.how = 'fail' THEN RAISE EXCEPTION 'stopped at %', NEW.id USING ERRCODE = 'P0042'; END IF;
			PERFORM pg_advisory_xact_lock_shared(42);
		END IF;
		RETURN NEW;
	END $$;
));

# Recreates the table on both sides: 3000 rows of some 100 bytes, about 40 pages.
sub make_tables
{
	my (%opts) = @_;
	my $unlogged = $opts{unlogged} ? 'UNLOGGED' : '';
	$source->safe_psql('postgres', q(
		DROP TABLE IF EXISTS t;
		CREATE TABLE t (id bigint PRIMARY KEY, k int, note text);
		INSERT INTO t SELECT n, CASE WHEN n % 10 <> 0 THEN n - 1500 END, repeat('x', 60) || n FROM generate_series(1, 3000) n;
		CREATE INDEX ON t (k);
		VACUUM ANALYZE t;));
	$target->safe_psql('postgres', qq(
		DROP TABLE IF EXISTS t;
		CREATE $unlogged TABLE t (id bigint, k int, note text, copied_at timestamptz DEFAULT clock_timestamp());
		CREATE TRIGGER stop BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION stop();
		ALTER TABLE t ENABLE ALWAYS TRIGGER stop;));
	return;
}

my $digest_sql = q(SELECT count(*) || ' ' || sum(hashtextextended(ROW(id, k, note)::text, 0)::numeric) FROM t);

sub same_rows
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($target->safe_psql('postgres', $digest_sql), $source->safe_psql('postgres', $digest_sql),
		"$name: the rows are those of the source");
}

sub set_stop
{
	my ($how, $id) = @_;
	$target->safe_psql('postgres', 'TRUNCATE control' . (defined $id ? "; INSERT INTO control VALUES ($id, '$how')" : ''));
	return;
}

# Starts a job of one worker; returns its id.
sub start_job
{
	my (%opts) = @_;
	my $args = $opts{args} ? ", $opts{args}" : '';
	my $settings = $opts{settings} || '';
	return $target->safe_psql('postgres',
		"SET fastcopy.chunk_size = '8kB'; $settings SELECT fastcopy.start('$conninfo', 't', 't', 1$args)");
}

# Starts a job that fails at the row, and waits for the failure.
sub fail_at
{
	my ($id, %opts) = @_;
	set_stop('fail', $id);
	my $job = start_job(%opts);
	wait_state($target, $job, 'failed');
	set_stop();
	return $job;
}

# Starts a job that waits at the row. Returns its id and the session that holds the lock.
sub hang_at
{
	my ($id, %opts) = @_;
	set_stop('wait', $id);
	my $session = $target->background_psql('postgres');
	$session->query_safe('SELECT pg_advisory_lock(42)');
	my $job = start_job(%opts);
	defined seconds_until(sub {
		$target->safe_psql('postgres', q(SELECT count(*) FROM pg_stat_activity
			WHERE backend_type = 'fastcopy worker' AND wait_event = 'advisory')) eq '1'
	}) or die "the worker did not come to row $id";
	return ($job, $session);
}

sub chunks_done
{
	my ($job) = @_;
	return $target->safe_psql('postgres', "SELECT count(*) FROM fastcopy.chunks WHERE job = $job AND state = 'done'");
}

# Asserts, as three tests, that resuming completes the job without copying anything twice.
sub resumes_to_the_end
{
	my ($job, $name, $args) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $done   = chunks_done($job);
	my $before = $target->safe_psql('postgres', 'SELECT count(*), max(copied_at) FROM t');
	my ($rows, $last) = split /\|/, $before;
	my $answer = $target->safe_psql('postgres',
		"SELECT fastcopy.resume($job" . ($args ? ", $args" : '') . ") = $job; SELECT fastcopy.wait($job)");
	is($answer, "t\ndone", "$name: the job is resumed and comes to its end");
	same_rows($name);
	my $kept = $last ? $target->safe_psql('postgres', "SELECT count(*) FROM t WHERE copied_at <= '$last'") : 0;
	my $status = $target->safe_psql('postgres',
		"SELECT chunks_done = chunks, rows_copied = (SELECT count(*) FROM t), percent, error IS NULL FROM fastcopy.status WHERE job = $job");
	is("$done $kept $status", "$done $rows t|t|100.0|t", "$name: $done chunks were kept, and the counts are right");
	return;
}

# A failure.
make_tables();
my $job = fail_at(1500);
cmp_ok(chunks_done($job), '>', 5, 'some chunks are done before a failure');
is($target->safe_psql('postgres', "SELECT sqlstate FROM fastcopy.status WHERE job = $job"), 'P0042',
	'the error is in the status');
resumes_to_the_end($job, 'after a failure');
fails_with($target, "SELECT fastcopy.resume($job)", '55000', qr/^fastcopy job $job is done$/, 'a job that is done is not resumed');
is($target->safe_psql('postgres', "SELECT resumes FROM fastcopy.status WHERE job = $job"), '1', 'resumes are counted');
no_leftovers($source, $target, 'after resuming');

# With other workers, twice.
make_tables();
$job = fail_at(700);
set_stop('fail', 2200);
$target->safe_psql('postgres', "SELECT fastcopy.resume($job, workers => 3)");
wait_state($target, $job, 'failed');
set_stop();
resumes_to_the_end($job, 'after two failures', 'workers => 4');

# Key ranges with NULLs.
make_tables();
$job = fail_at(1500, args => "key => 'k'");
resumes_to_the_end($job, 'with key ranges');

# A cancelled job.
make_tables();
($job, my $session) = hang_at(1500);
fails_with($target, "SELECT fastcopy.resume($job)", '55006', qr/^fastcopy job $job is running$/, 'a running job is not resumed');
$target->safe_psql('postgres', "SELECT fastcopy.cancel($job)");
wait_state($target, $job, 'cancelled');
$session->quit;
resumes_to_the_end($job, 'after a cancel');

# The coordinator is terminated; its worker still exists when the job is resumed.
make_tables();
($job, $session) = hang_at(1500);
$target->safe_psql('postgres', q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'fastcopy coordinator'));
wait_state($target, $job, 'interrupted');
$session->quit;
resumes_to_the_end($job, 'after the end of the coordinator');

# The target crashes and restarts.
for my $mode ('immediate', 'fast')
{
	make_tables();
	($job, $session) = hang_at(1500);
	$target->stop($mode);
	quit_quietly($session);
	$target->start;
	is(state_of($target, $job), 'interrupted', "after stop -m $mode of the target the job is interrupted");
	set_stop();
	resumes_to_the_end($job, "after stop -m $mode of the target");
}

# The source crashes and restarts.
for my $mode ('immediate', 'fast')
{
	make_tables();
	($job, $session) = hang_at(1500, settings => 'SET fastcopy.retry_limit = 1;');
	$source->stop($mode);
	$session->quit;
	wait_state($target, $job, 'failed');
	fails_with($target, "SELECT fastcopy.resume($job)", '08001', qr/^could not connect to the source server$/,
		"while the source is down after stop -m $mode, resuming says so");
	is(state_of($target, $job), 'failed', 'and the job is unchanged');
	$source->start;
	set_stop();
	resumes_to_the_end($job, "after stop -m $mode of the source");
}

# Changes of the source, and their effect. Row 100 is in a done chunk, row 2500 is not.
my @unharmful = (
	[ 'writes to other tables', 'INSERT INTO elsewhere VALUES (1)' ],
	[ 'an insert where nothing was copied', "INSERT INTO t VALUES (5000, 5000, repeat('new', 500))" ],
	[ 'a delete where nothing was copied', 'DELETE FROM t WHERE id = 2500' ],
	[ 'VACUUM', [ 'DELETE FROM elsewhere', 'VACUUM t', 'VACUUM FREEZE t' ] ],
	[ 'row locks', 'BEGIN; SELECT FROM t WHERE id = 100 FOR UPDATE; COMMIT' ],
	[ 'an update that was rolled back', 'BEGIN; UPDATE elsewhere SET i = 2; ROLLBACK' ],
);
for my $case (@unharmful)
{
	my ($name, $sql) = @$case;
	make_tables();
	$job = fail_at(1500);
	$source->safe_psql('postgres', $_) for ref $sql ? @$sql : ($sql);
	resumes_to_the_end($job, "after $name");
}

my $changed = qr/^source table "t" may have changed since a part of it was copied$/;
my @harmful = (
	[ 'an update',                  'UPDATE t SET note = note WHERE id = 100',      qr/^Chunk \d+ had \d+ rows; now it has \d+, of which \d+ are new or updated\.$/ ],
	[ 'a delete',                   'DELETE FROM t WHERE id = 100',                 qr/^Chunk \d+ had \d+ rows; now it has \d+, of which 0 are new/ ],
	[ 'a delete and VACUUM',        [ 'DELETE FROM t WHERE id = 100', 'VACUUM t' ], qr/^Chunk \d+ had/ ],
	[ 'an insert into free space',  [ 'DELETE FROM t WHERE id = 100', 'VACUUM t', "INSERT INTO t VALUES (100, -1400, repeat('x', 60) || 100)" ], qr/^Chunk \d+ had/ ],
	[ 'TRUNCATE and reloading',     "CREATE TEMP TABLE k AS TABLE t; TRUNCATE t; INSERT INTO t TABLE k", qr/^The table has other files/ ],
	[ 'VACUUM FULL',                'VACUUM FULL t',                                qr/^The table has other files/ ],
	[ 'a rewriting ALTER TABLE',    'ALTER TABLE t ALTER id TYPE numeric',          qr/^The columns of the table have changed\.$/ ],
	[ 'a new column',               'ALTER TABLE t ADD extra int',                  qr/^The columns of the table have changed\.$/ ],
	[ 'a new child',                "CREATE TABLE t_child () INHERITS (t)",         qr/^The table has other files.*or other partitions\.$/ ],
);
for my $case (@harmful)
{
	my ($name, $sql, $detail) = @$case;
	make_tables();
	$job = fail_at(1500);
	my $done = chunks_done($job);
	$source->safe_psql('postgres', $_) for ref $sql ? @$sql : ($sql);
	fails_with($target, "SELECT fastcopy.resume($job)", '55000', $changed, "after $name resuming is an error",
		detail => $detail, hint => qr/accept_changes => true.*truncate => true/);
	is(state_of($target, $job) . ' ' . chunks_done($job), "failed $done", "after $name: the job is unchanged");
	$source->safe_psql('postgres', 'DROP TABLE IF EXISTS t_child');
}
no_leftovers($source, $target, 'after refused resumes');

# With accept_changes, the rest is copied as it is now.
make_tables();
$job = fail_at(1500);
$source->safe_psql('postgres', 'UPDATE t SET note = $$changed$$ WHERE id IN (100, 2500)');
$target->safe_psql('postgres', "SELECT fastcopy.resume($job, accept_changes => true); SELECT fastcopy.wait($job)");
is($target->safe_psql('postgres', q(SELECT count(DISTINCT id), count(*) FILTER (WHERE note = 'changed' AND id = 2500),
		count(*) FILTER (WHERE note = 'changed' AND id = 100 AND copied_at < (SELECT resumed_at FROM fastcopy.job ORDER BY job DESC LIMIT 1)) FROM t)),
	'3000|1|0', 'changes that are accepted are copied where nothing was copied before');

# A transaction was in progress when the snapshot was taken, in a subtransaction whose id the snapshot does not
# contain.
make_tables();
$source->safe_psql('postgres', 'DELETE FROM t WHERE id = 100');
$source->safe_psql('postgres', 'VACUUM t');
my $writer = $source->background_psql('postgres');
$writer->query_safe('BEGIN');
$writer->query_safe('INSERT INTO elsewhere VALUES (1)');
$writer->query_safe('SAVEPOINT s');
$writer->query_safe('INSERT INTO t VALUES (100, 1, $$late$$)');
$job = fail_at(1500);
$writer->query_safe('COMMIT');
$writer->quit;
fails_with($target, "SELECT fastcopy.resume($job)", '55000', $changed,
	'rows of a transaction that was in progress are changes', detail => qr/^Chunk \d+ had/);

# The target.
make_tables();
$job = fail_at(1500);
$target->safe_psql('postgres', 'TRUNCATE t');
fails_with($target, "SELECT fastcopy.resume($job)", '55000', qr/^target table public\.t may have lost rows that were copied into it$/,
	'a target that was truncated is an error', detail => qr/^The table has other files/, hint => qr/accept_changes/);
$job = fail_at(1500);
$target->safe_psql('postgres', 'VACUUM FULL t');
resumes_to_the_end($job, 'after VACUUM FULL of the target, accepted', 'accept_changes => true');
make_tables();
$job = fail_at(1500);
$target->safe_psql('postgres', 'DROP TABLE t');
fails_with($target, "SELECT fastcopy.resume($job)", '42P01', qr/^cannot resume fastcopy job $job$/, 'so is one that was dropped');

# A partition is emptied after the resumed job has looked at the files, and before it has written to the ledger.
make_tables();
$target->safe_psql('postgres', q(CREATE TABLE parts (LIKE t) PARTITION BY RANGE (id); CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (MINVALUE) TO (1500);
	CREATE TABLE parts_high PARTITION OF parts (CONSTRAINT not_yet CHECK (id < 2500)) DEFAULT));
$job = $target->safe_psql('postgres', "SET fastcopy.chunk_size = '8kB'; SELECT fastcopy.start('$conninfo', 't', 'parts', 1)");
wait_state($target, $job, 'failed');
$target->safe_psql('postgres', 'ALTER TABLE parts_high DROP CONSTRAINT not_yet');
my $holder = $source->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE');
my $resume = $target->background_psql('postgres', on_error_stop => 0);
$resume->query_until(qr/go/, "\\echo go\nSELECT fastcopy.resume($job);\n");
$source->poll_query_until('postgres', q(SELECT count(*) = 1 FROM pg_locks WHERE relation = 't'::regclass AND NOT granted)) or die 'resume does not wait';
$target->safe_psql('postgres', 'TRUNCATE parts_low');
$holder->query_safe('COMMIT');
$holder->quit;
$resume->{run}->pump until $resume->{stderr} =~ /ERROR|CONTEXT/ || $resume->{stdout} =~ /^\d+$/m;
is(wait_state($target, $job, 'done|failed'), 'failed', 'a partition that is truncated while resume looks elsewhere');
like($resume->{stderr}, qr/target table public\.parts may have lost rows/, '... is an error of the call');
is($target->safe_psql('postgres', 'SELECT count(*) FROM parts_low'), '0', '... before anything else is copied');
$resume->quit;
$target->safe_psql('postgres', "DROP TABLE parts; SELECT fastcopy.forget($job)");

make_tables(unlogged => 1);
$job = fail_at(1500);
$target->stop('fast');
$target->start;
resumes_to_the_end($job, 'an unlogged target after a clean restart');
make_tables(unlogged => 1);
$job = fail_at(1500);
$target->stop('immediate');
$target->start;
fails_with($target, "SELECT fastcopy.resume($job)", '55000', qr/^target table public\.t may have lost rows/,
	'an unlogged target after a crash is an error', detail => qr/^The table is unlogged, and was emptied/);
is($target->safe_psql('postgres', "SELECT fastcopy.resume($job, accept_changes => true) = $job; SELECT fastcopy.wait($job)"),
	"t\ndone", '... unless that is accepted');
make_tables(unlogged => 1);
$job = fail_at(1);
$target->stop('immediate');
$target->start;
resumes_to_the_end($job, 'an unlogged target after a crash with nothing done');

# A job without done chunks may start with any source and target.
make_tables();
$job = fail_at(1);
is(chunks_done($job), '0', 'nothing is done of a job that fails at once');
$source->safe_psql('postgres', 'UPDATE t SET k = 0');
resumes_to_the_end($job, 'with nothing done and all changed');

# Workers that are terminated.
make_tables();
($job, $session) = hang_at(1500);
my $terminate = q(SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'fastcopy worker');
my $worker_pid = $target->safe_psql('postgres', 'SELECT pid FROM fastcopy.workers');
$target->safe_psql('postgres', $terminate);
ok(defined seconds_until(sub {
	my $now = $target->safe_psql('postgres', 'SELECT pid FROM fastcopy.workers WHERE chunk IS NOT NULL');
	$now ne '' && $now ne $worker_pid }), 'a worker that is terminated is replaced');
is($target->safe_psql('postgres', "SELECT retries_in_chunk, retries FROM fastcopy.workers"), '1|1',
	'and the new one tells of the retry');
$session->quit;
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'the job comes to its end');
same_rows('after a worker was replaced');
is($target->safe_psql('postgres', "SELECT max(retries), count(*) FILTER (WHERE retries > 0) FROM fastcopy.chunks WHERE job = $job"),
	'1|1', 'the chunk has its retry');

make_tables();
($job, $session) = hang_at(1500, settings => 'SET fastcopy.retry_limit = 2;');
ok(defined seconds_until(sub { $target->safe_psql('postgres', $terminate); state_of($target, $job) eq 'failed' }),
	'a worker is not replaced for ever');
$session->quit;
like($target->safe_psql('postgres', "SELECT error || ' ' || detail FROM fastcopy.status WHERE job = $job"),
	qr/^a fastcopy worker was terminated It was replaced as often as fastcopy\.retry_limit allows\.$/, 'and the error says so');
set_stop();
resumes_to_the_end($job, 'after too many terminations');

# Two sessions resume the job at once: one succeeds, the other gets an error.
make_tables();
$job = fail_at(1500);
set_stop('wait', 2000);
$session = $target->background_psql('postgres');
$session->query_safe('SELECT pg_advisory_lock(42)');
$target->safe_psql('postgres', "SELECT fastcopy.resume($job)");
fails_with($target, "SELECT fastcopy.resume($job)", '55006', qr/is running$/, 'a job is resumed once at a time');
$session->quit;
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'and comes to its end');
same_rows('after one of two resumes');

# Jobs that do not exist.
fails_with($target, 'SELECT fastcopy.resume(4711)', '42704', qr/^fastcopy job 4711 does not exist$/, 'a job that does not exist');
fails_with($target, "SELECT fastcopy.resume($job, workers => 0)", '22023', qr/^number of workers must be between/, 'no workers');

# A standby as the source: it replays changes, and a lagging one is detected.
make_tables();
$source->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($source, 'b', has_streaming => 1);
$standby->start;
$source->wait_for_catchup($standby, 'replay', $source->lsn('insert'));
{
	local $conninfo = conninfo($standby);
	$job = fail_at(1500);
	resumes_to_the_end($job, 'from a standby');
	make_tables();
	$source->wait_for_catchup($standby, 'replay', $source->lsn('insert'));
	$job = fail_at(1500);
	$source->safe_psql('postgres', 'UPDATE t SET note = note WHERE id = 100');
	$source->wait_for_catchup($standby, 'replay', $source->lsn('insert'));
	fails_with($target, "SELECT fastcopy.resume($job)", '55000', $changed, 'changes show on a standby', detail => qr/^Chunk \d+ had/);
}
make_tables();
$source->wait_for_catchup($standby, 'replay', $source->lsn('insert'));
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$source->safe_psql('postgres', 'INSERT INTO elsewhere VALUES (7)');
$job = fail_at(1500);
fails_with($target, "SELECT fastcopy.resume($job, '" . conninfo($standby) . "')", '55000', $changed,
	'a standby that lags behind the copy is detected', detail => qr/^The source is behind the state that was copied/);
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
$standby->promote;
fails_with($target, "SELECT fastcopy.resume($job, '" . conninfo($standby) . "')", '55000', $changed,
	'so is a new timeline', detail => qr/timeline has changed/);
resumes_to_the_end($job, 'on the old primary');

no_leftovers($source, $target, 'in the end');
done_testing();
