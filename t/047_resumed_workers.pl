# Workers of a resumed job are terminated at each step of their work: the job ends done with each row once, or it is
# not done.
#
# A job is stopped when as many chunks are left as it has workers: if each of them counted a chunk of the first run
# again, the job would look done. When it is resumed, its workers are held at one step, and all of them are
# terminated:
#
#     at the gate              the coordinator waits for the job's row in the ledger
#     looking for changes      the filter waits on the source
#     connecting               a proxy lets the coordinator's connection through and holds all others
#     reading the ledger       the table fastcopy.chunk is locked
#     backing off              the source refuses connections
#     before COPY, in COPY, after COPY, at the mark, after the mark
#                              triggers and the chunk's row in the ledger wait on the target
#
# Their replacements copy what is left. The test counts the rows itself.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyGate;
use FastcopyProxy;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair(target_conf => "fastcopy.retry_delay = '10ms'\n");
my $proxy    = FastcopyProxy->new($source->host . '/.s.PGSQL.' . $source->port);
my $conninfo = conninfo($source, host => '127.0.0.1', port => $proxy->port);
my $rows     = 3000;

$source->safe_psql('postgres', qq(
CREATE TABLE public.elsewhere (i int);
CREATE TABLE public.items (id bigint, name text);
INSERT INTO public.items SELECT g, 'name ' || g FROM generate_series(1, $rows) g;
CREATE FUNCTION public.gate(id bigint) RETURNS boolean LANGUAGE plpgsql AS
'BEGIN
	IF id % 50 = 0 THEN PERFORM pg_catalog.pg_advisory_xact_lock_shared(1); END IF;
	RETURN true;
END'));
add_hold($target);
my $expected = table_digest($source, 'public.items');
my $held_id  = $rows;    # in the last chunk

# A job that was cancelled with so many chunks left. A chunk is a block of the source.
sub unfinished_job
{
	my ($left) = @_;
	my $stop_at = $source->safe_psql('postgres', qq(
		SELECT min(id) FROM public.items WHERE (ctid::text::point)[0] =
			(SELECT max((ctid::text::point)[0]) - $left + 1 FROM public.items)));
	$target->safe_psql('postgres', qq(
		DROP TABLE IF EXISTS public.items;
		CREATE TABLE public.items (id bigint, name text);
		CREATE TRIGGER stop BEFORE INSERT ON public.items
			FOR EACH ROW WHEN (NEW.id = $stop_at) EXECUTE FUNCTION public.hold()));
	my $gatekeeper = $target->background_psql('postgres');
	hold_gate($gatekeeper);
	my $job = $target->safe_psql('postgres', qq(
		SET fastcopy.chunk_size = '8kB';
		SELECT fastcopy.start('$conninfo', 'public.items', 'public.items', 1, filter => 'public.gate(id)')));
	wait_at_gate($target, 1) or die 'the job does not wait';
	$target->safe_psql('postgres', "SELECT fastcopy.cancel($job)");
	wait_state($target, $job, 'cancelled');
	$gatekeeper->quit;
	$target->safe_psql('postgres', 'DROP TRIGGER stop ON public.items');
	return $job;
}

sub chunks
{
	my ($job) = @_;
	return $target->safe_psql('postgres',
		"SELECT count(*) FILTER (WHERE done) || ' of ' || count(*) FROM fastcopy.chunk WHERE job = $job");
}

# A session that holds the lock that the SQL takes until it ends.
sub keeper
{
	my ($node, $sql) = @_;
	my $session = $node->background_psql('postgres');
	$session->query_safe('BEGIN');
	$session->query_safe($sql);
	return $session;
}

sub waiting
{
	my ($count, $where) = @_;
	return $target->safe_psql('postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fastcopy worker' AND $where") == $count;
}

my $in_lock = q(wait_event_type = 'Lock');

# step => [ what must be done before, whether the workers exist, what releases them ]; the latter is called with what
# the first has returned and the number of workers.
my %steps = (
	'at the gate' => [
		sub { keeper($target, "SELECT FROM fastcopy.job WHERE job = $_[0] FOR UPDATE") },
		sub {
			my ($keeper, $workers) = @_;
			return waiting($workers, q(wait_event_type = 'Extension'))
			  && $target->safe_psql('postgres', qq(SELECT count(*) = 1 FROM pg_stat_activity
				WHERE backend_type = 'fastcopy coordinator' AND $in_lock)) eq 't';
		},
		sub { $_[0]->quit } ],
	'looking for changes' => [
		sub { $source->safe_psql('postgres', 'INSERT INTO public.elsewhere VALUES (1)'); keeper($source, 'SELECT pg_advisory_xact_lock(1)') },
		sub {
			my ($keeper, $workers) = @_;
			return $source->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE $in_lock AND query ~ 'xmin'") == $workers;
		},
		sub { $_[0]->quit } ],
	'connecting' => [
		sub { $proxy->hold(1) },
		sub { $proxy->held == $_[1] },
		sub { $proxy->release } ],
	'reading the ledger' => [
		sub { $proxy->hold(1) },
		sub {
			my ($keeper, $workers) = @_;
			defined seconds_until(sub { $proxy->held == $workers }) or die 'the workers do not connect';
			$_[0] = keeper($target, 'LOCK TABLE fastcopy.chunk IN ACCESS EXCLUSIVE MODE');
			$proxy->release;
			return defined seconds_until(sub { waiting($workers, $in_lock) });
		},
		sub { $_[0]->quit } ],
	'backing off' => [
		sub { $proxy->hold(1) },
		sub {
			my ($keeper, $workers, $job) = @_;
			defined seconds_until(sub { $proxy->held == $workers }) or die 'the workers do not connect';
			$proxy->refuse;
			$proxy->release;
			defined seconds_until(sub {
				my $log = slurp_file($target->logfile);
				my @retries = $log =~ /fastcopy job $job will retry/g;
				return @retries >= $workers;
			}) or die 'the workers do not back off';
			$proxy->admit;
			return 1;
		},
		sub { } ],
	'before COPY' => [
		sub { keeper($target, 'SELECT pg_advisory_xact_lock(1)') },
		sub { waiting($_[1], $in_lock) },
		sub { $_[0]->quit },
		'CREATE TRIGGER hold BEFORE INSERT ON public.items FOR EACH STATEMENT EXECUTE FUNCTION public.hold()' ],
	'in COPY' => [
		sub { keeper($target, 'SELECT pg_advisory_xact_lock(1)') },
		sub { waiting(1, $in_lock) },
		sub { $_[0]->quit },
		"CREATE TRIGGER hold BEFORE INSERT ON public.items FOR EACH ROW WHEN (NEW.id = $held_id) EXECUTE FUNCTION public.hold()" ],
	'after COPY' => [
		sub { keeper($target, 'SELECT pg_advisory_xact_lock(1)') },
		sub { waiting($_[1], $in_lock) },
		sub { $_[0]->quit },
		'CREATE TRIGGER hold AFTER INSERT ON public.items FOR EACH STATEMENT EXECUTE FUNCTION public.hold()' ],
	'at the mark' => [
		sub { keeper($target, "SELECT FROM fastcopy.chunk WHERE job = $_[0] AND NOT done FOR UPDATE") },
		sub { waiting($_[1], $in_lock) },
		sub { $_[0]->quit } ],
	'after the mark' => [
		sub { keeper($target, 'SELECT pg_advisory_xact_lock(1)') },
		sub { waiting(1, $in_lock) },
		sub { $_[0]->quit },
		"CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON public.items DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW WHEN (NEW.id = $held_id) EXECUTE FUNCTION public.hold()" ]);

for my $workers (1, 3)
{
	for my $step (sort keys %steps)
	{
		my $name = "$step, $workers worker" . ($workers > 1 ? 's' : '');
		my ($hold, $there, $let_go, $trigger) = @{ $steps{$step} };
		my $job    = unfinished_job($workers);
		my $before = chunks($job);
		my ($done, $chunks) = split / of /, $before;
		is($chunks - $done, $workers, "$name: a chunk is left for each worker");
		$target->safe_psql('postgres', $trigger) if $trigger;

		my $keeper  = $hold->($job);
		my $changes = $step eq 'looking for changes' ? 'false' : 'true';
		my $delay   = $step eq 'backing off' ? '60s' : '10ms';
		my $caller  = $target->background_psql('postgres', on_error_stop => 0);
		$caller->query_until(qr/sent/, qq(\\echo sent
			SET fastcopy.retry_delay = '$delay';
			SELECT fastcopy.resume($job, workers => $workers, accept_changes => $changes);\n));
		defined seconds_until(sub { $there->($keeper, $workers, $job) }) or die "$name: no worker is held";
		my @pids = split /\n/, $target->safe_psql('postgres',
			q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'fastcopy worker'));
		$target->safe_psql('postgres', "SELECT pg_terminate_backend($_)") for @pids;
		# If a row holds one of them, the others may have ended.
		cmp_ok(scalar @pids, $step =~ /^(?:in COPY|after the mark)$/ ? '>=' : '==',
			$step =~ /^(?:in COPY|after the mark)$/ ? 1 : $workers, "$name: the workers are terminated");
		defined seconds_until(sub { gone(@pids) }) or die "$name: they stay";
		$let_go->($keeper);
		quit_quietly($caller);

		my $state = wait_state($target, $job, 'done|failed|cancelled|interrupted');
		is($state, 'done', "$name: the job ends done");
		is(chunks($job), "$chunks of $chunks", "$name: with all of its chunks");
		is(table_digest($target, 'public.items'), $expected, "$name: each row is there once");
		is($target->safe_psql('postgres', "SELECT chunks_done = chunks, rows_copied FROM fastcopy.status WHERE job = $job"),
			"t|$rows", "$name: the status counts them");
	}
}

no_leftovers($source, $target, 'at the end');
done_testing();
