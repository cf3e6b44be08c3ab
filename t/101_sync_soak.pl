# fastcopy.sync under eight writers whose transactions and savepoints stay open for random times across runs, some
# rolled back, some prepared, with keys from a sequence that some of them cache; and a target that is killed at
# random. When all have ended, one last run makes the target equal to the source, each row once.
#
# FASTCOPY_SOAK_RUNS (15) makes it longer, FASTCOPY_SOAK_SEED repeats a sequence of faults. Without a seed there are
# two rounds, one with a fixed seed and one with a random seed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyTest;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

my $runs  = $ENV{FASTCOPY_SOAK_RUNS} // 15;
my @seeds = defined $ENV{FASTCOPY_SOAK_SEED} ? ($ENV{FASTCOPY_SOAK_SEED}) : (42, int rand 1_000_000);

# What one writer sends to its psql: transactions of all kinds, for as long as the test reads them.
sub script
{
	my ($writer, $lines) = @_;
	my $id  = $writer % 2 ? q(nextval('cached')) : q(nextval('ids'));
	my $add = sub { "INSERT INTO events SELECT $id, '$writer ' || g FROM generate_series(1, " . (1 + int rand 20) . ') g;' };
	my $wait = sub { 'SELECT pg_sleep(' . sprintf('%.3f', rand() ** 4 * 2) . ');' };
	my @script;
	for my $n (1 .. $lines)
	{
		my $kind = int rand 10;
		my $end  = rand() < 0.25 ? 'ROLLBACK;' : 'COMMIT;';
		push @script,
		    $kind < 3  ? $add->()
		  : $kind == 3 ? "SELECT $id AS taken \\gset\n" . $wait->() . "INSERT INTO events VALUES (:taken, 'taken');"
		  : $kind == 4 ? "BEGIN; SELECT $id AS taken \\gset\n" . $wait->() . "INSERT INTO events VALUES (:taken, 'taken'); $end"
		  : $kind == 5 ? 'BEGIN;' . $add->() . "PREPARE TRANSACTION 'w$writer.$n';" . $wait->() . (rand() < 0.3 ? 'ROLLBACK' : 'COMMIT') . " PREPARED 'w$writer.$n';"
		  : 'BEGIN; SAVEPOINT a;' . $add->() . $wait->() . 'SAVEPOINT b;' . $add->() . (rand() < 0.5 ? 'ROLLBACK TO b;' : 'RELEASE b;') . $wait->()
		  . 'SAVEPOINT c;' . $add->() . (rand() < 0.3 ? 'ROLLBACK TO a;' : '') . $wait->() . $end;
	}
	return join "\n", @script, '';
}

my ($source, $target) = start_pair(
	source_conf => "max_prepared_transactions = 20\nlog_min_messages = fatal\n",
	target_conf => "log_min_messages = debug1\nrestart_after_crash = on\n");
my $conninfo = conninfo($source);
my $call     = call_sql('sync', $source, source_table => 'public.events', target_table => 'public.events', key => 'id', workers => 2);

for my $seed (@seeds)
{
	note "seed $seed";
	srand $seed;
	$source->safe_psql('postgres', q(DROP TABLE IF EXISTS events; DROP SEQUENCE IF EXISTS ids, cached;
		CREATE SEQUENCE ids INCREMENT 2; CREATE SEQUENCE cached CACHE 50 INCREMENT 2 START 2; CREATE TABLE events (id bigint PRIMARY KEY, v text)));
	$target->safe_psql('postgres', 'DROP TABLE IF EXISTS events; CREATE TABLE events (id bigint, v text)');

	my @writers;
	for my $writer (1 .. 8)
	{
		my $file = PostgreSQL::Test::Utils::tempdir() . "/writer_$writer.sql";
		append_to_file($file, script($writer, 200 * $runs));
		push @writers, IPC::Run::start([ 'psql', '-XqAt', '-d', $source->connstr('postgres'), '-f', $file ], '<', '/dev/null', '>', '/dev/null', '2>', '/dev/null');
	}

	my ($done, $kills, $failures) = (0, 0, 0);
	my $offset = -s $target->logfile;
	my $begin  = time;
	while ($done < $runs)
	{
		my $kill = rand() < 0.15;
		my ($code, $job) = $target->psql('postgres', "SELECT $call", on_error_stop => 0);
		if ($kill)
		{
			usleep(int rand 60_000);
			$target->stop('immediate');
			$target->start;
			$kills++;
		}
		elsif (($job // '') =~ /^\d+$/)
		{
			($code) = $target->psql('postgres', "SELECT fastcopy.wait($job)", on_error_stop => 0);
			$failures++ if $code;
		}
		else { $failures++; }
		$done++;
		usleep(int rand 200_000);
		is($target->safe_psql('postgres', 'SELECT count(*) - count(DISTINCT id) FROM events'), '0', "seed $seed: run $done has doubled no row")
		  if $done % 10 == 0;
	}
	$source->safe_psql('postgres', q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()));
	$_->finish for @writers;
	$source->poll_query_until('postgres', q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()));
	$source->safe_psql('postgres', "COMMIT PREPARED '$_'") for split /\n/, $source->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts');

	# The last run, and one more before it if a run was left unfinished.
	my $unfinished = $target->safe_psql('postgres', 'SELECT count(*) FROM fastcopy.watermark WHERE NOT done');
	for (0 .. $unfinished)
	{
		my $job = $target->safe_psql('postgres', "SELECT $call");
		is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', "seed $seed: a last run");
	}
	my @ways = slurp_file($target->logfile, $offset) =~ /fastcopy sync of \S+: (.*)/g;
	my $late = 0;
	$late += $_ for map { /(\d+) late/ } @ways;
	my $rows = $source->safe_psql('postgres', 'SELECT count(*) FROM events');
	is(table_digest($target, 'events'), table_digest($source, 'events'), "seed $seed: after the last of $runs runs the target equals the source")
	  or diag "of a random seed: FASTCOPY_SOAK_SEED=$seed";
	is($target->safe_psql('postgres', 'SELECT count(*) - count(DISTINCT id) FROM events'), '0', 'each row is stored once');
	cmp_ok($late, '>', 0, 'and rows were late');
	(defined $ENV{FASTCOPY_SOAK_RUNS} ? \&diag : \&note)->(sprintf '%d runs, %d kills, %d calls that failed, %d rows, %d late, %d of %d runs scanned, %.0f s',
		$runs, $kills, $failures, $rows, $late, scalar(grep { /, scan/ } @ways), scalar @ways, time - $begin);
}

done_testing();
