# After a crash of the target server at any step of a chunk, the chunk's rows and its mark are either both stored or
# both not; and the job, once resumed, ends with every row once.
#
# The test holds a worker at each step of one chunk, by a lock:
#
#     before COPY      a BEFORE STATEMENT trigger waits
#     in COPY          a row trigger waits, at a row in the middle of the chunk
#     after COPY       an AFTER STATEMENT trigger waits: all rows of the chunk are in the table
#     after the mark   a deferred constraint trigger of the ledger waits, which fires at commit: the mark is written too
#     after commit     nothing waits, the chunk just reads done
#
# Then the test kills the postmaster with SIGKILL and starts the server again. One worker copies the chunks in order,
# so its chunk is known; the other workers of a job with several are held at the same step.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyGate;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair();
my $conninfo = conninfo($source);
my $rows     = 6000;
my $held_id  = 2500;

$source->safe_psql('postgres', qq(
CREATE TABLE public.items (id bigint, name text);
INSERT INTO public.items SELECT g, 'name ' || g FROM generate_series(1, $rows) g));
my $expected = table_digest($source, 'public.items');

# Waits for the test's lock, if a wait is set for this step. The trigger recognizes its chunk by what it sees of the
# table.
add_hold($target);

my %steps = (
	'before COPY' => 'CREATE TRIGGER hold BEFORE INSERT ON public.items
		FOR EACH STATEMENT EXECUTE FUNCTION public.hold()',
	'in COPY' => "CREATE TRIGGER hold BEFORE INSERT ON public.items
		FOR EACH ROW WHEN (NEW.id = $held_id) EXECUTE FUNCTION public.hold()",
	'after COPY' => 'CREATE TRIGGER hold AFTER INSERT ON public.items
		FOR EACH STATEMENT EXECUTE FUNCTION public.hold()',
	'after the mark' => 'CREATE CONSTRAINT TRIGGER hold AFTER UPDATE ON fastcopy.chunk DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (NEW.chunk = 3 AND NEW.done) EXECUTE FUNCTION public.hold()',
	'after commit' => '');

# The ids that the source has in the block ranges of the done chunks, and those that the target has.
sub done_chunks_are_there
{
	my ($job, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @done = split /\n/, $target->safe_psql('postgres', qq(
		SELECT coalesce(first_block, 0) || ' ' || coalesce(end_block, 4294967295) || ' ' || rows
		FROM fastcopy.chunks WHERE job = $job AND state = 'done' ORDER BY chunk));
	my $ranges = join ' OR ', 'false', map {
		my ($first, $end) = split ' ';
		"(b >= $first AND b < $end)"
	} @done;
	my $sum = 0;
	$sum += (split ' ')[2] for @done;
	my $ids = q(SELECT count(*) || ' ' || coalesce(md5(string_agg(id::text, ' ' ORDER BY id)), '') FROM );
	my $there = $target->safe_psql('postgres', "$ids public.items");
	is( $there,
		$source->safe_psql('postgres',
			"$ids (SELECT id, (ctid::text::point)[0]::bigint AS b FROM public.items) i WHERE $ranges"),
		"$name: exactly the rows of the chunks that are done are there");
	is((split ' ', $there)[0], $sum, "$name: as many as the ledger says");
	return scalar @done;
}

# Kills the postmaster with SIGKILL; its processes then exit by themselves.
sub crash
{
	my $pid = $target->{_pid};
	my @children = split ' ', slurp_file("/proc/$pid/task/$pid/children");
	$target->kill9;
	defined seconds_until(sub { gone(@children) }) or die 'processes have survived their postmaster';
	$target->start;
	return;
}

for my $workers (1, 3)
{
	for my $step ('before COPY', 'in COPY', 'after COPY', 'after the mark', 'after commit')
	{
		my $name = "$step, $workers worker" . ($workers > 1 ? 's' : '');
		$target->safe_psql('postgres',
			"DROP TRIGGER IF EXISTS hold ON fastcopy.chunk; DROP TABLE IF EXISTS public.items; CREATE TABLE public.items (id bigint, name text); $steps{$step}");
		my $gatekeeper = $target->background_psql('postgres');
		hold_gate($gatekeeper) if $steps{$step};

		# If nothing waits on the target, the source waits after the first chunks.
		my $source_gate;
		my $filter = '';
		if (!$steps{$step})
		{
			$source_gate = $source->background_psql('postgres');
			hold_gate($source_gate);
			$filter = ", filter => 'CASE WHEN id = $held_id THEN pg_advisory_xact_lock_shared(1) IS NOT NULL ELSE true END'";
		}
		my $job = $target->safe_psql('postgres', qq(
			SET fastcopy.chunk_size = '32kB';
			SELECT fastcopy.start('$conninfo', 'public.items', 'public.items', $workers$filter)));

		my $held = $workers;
		$held = 1 if $step =~ /^(?:in COPY|after the mark)$/;
		my $waiting = "SELECT count(*) = $held FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
		if ($steps{$step})
		{
			$target->poll_query_until('postgres', $waiting) or die "no worker is held $step";
		}
		else
		{
			wait_at_gate($source, 1)
			  or die 'no worker has come to the gate';
		}
		# The workers that are not held copy all other chunks meanwhile.
		if ($held < $workers || !$steps{$step})
		{
			$target->poll_query_until('postgres', qq(
				SELECT chunks_done > 0 AND (workers = 1 OR chunks_done = chunks - 1)
				FROM fastcopy.status WHERE job = $job)) or die 'the other chunks do not get done';
		}

		# A synchronous commit also flushes the asynchronous commits of chunks.
		$target->safe_psql('postgres', q(SELECT pg_logical_emit_message(true, 'fastcopy test', 'flush')));
		crash();
		quit_quietly($gatekeeper);
		is($target->safe_psql('postgres', "SELECT state FROM fastcopy.status WHERE job = $job"),
			'interrupted', "$name: the job reads interrupted");
		my $done = done_chunks_are_there($job, $name);
		# If the first chunk is held at this step, no chunk is done.
		if ($step eq 'before COPY' || $step eq 'after COPY') { is($done, 0, "$name: no chunk is done") }
		else { cmp_ok($done, '>', 0, "$name: others are done") }
		if ($source_gate)
		{
			open_gate($source_gate);
			$source_gate->quit;
		}
		no_leftovers($source, $target, $name);

		$target->safe_psql('postgres', 'DROP TRIGGER IF EXISTS hold ON public.items');
		is($target->safe_psql('postgres', "SELECT fastcopy.resume($job)"), $job, "$name: resume");
		is(wait_state($target, $job, 'done|failed'), 'done', "$name: the job is done");
		is(table_digest($target, 'public.items'), $expected, "$name: each row is there once");
	}
}

no_leftovers($source, $target, 'at the end');
done_testing();
