# Many jobs in a row, half of them failing or cancelled, leave nothing behind.
#
# What could accumulate: sessions on the source, entries in the registry of jobs and workers, slots for background
# workers, open files of the postmaster and of the calling backend (an orphaned connection, a shared memory segment
# that is still mapped), and the segments themselves. All of it is counted after a few jobs, which open what is kept
# for good, and after many. bench/must_hold does the same with far more jobs, and with memory.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rounds = 8;    # of eight jobs each

# There are so few worker slots that a leaked slot is missed a few rounds later.
my ($source, $target) = start_pair(target_conf => "max_worker_processes = 8\n");
my $conninfo = conninfo($source);

$source->safe_psql(
	'postgres', q(
	CREATE TABLE numbers (id integer, word text);
	INSERT INTO numbers SELECT g, md5(g::text) FROM generate_series(1, 5000) g;
	-- A source that sends nothing until it is told to stop.
	CREATE VIEW silent AS SELECT id, word FROM numbers, pg_sleep(3600)));
$target->safe_psql(
	'postgres', q(
	CREATE TABLE numbers (id integer, word text);
	CREATE TABLE silent (id integer, word text);
	CREATE TABLE keyed (id integer PRIMARY KEY, word text);
	INSERT INTO keyed VALUES (5000, 'in the way')));

my $caller = $target->background_psql('postgres', on_error_stop => 0);
$caller->set_query_timer_restart;
my $caller_pid = $caller->query('SELECT pg_backend_pid()');
my ($postmaster_pid) = split /\n/, slurp_file($target->data_dir . '/postmaster.pid');
$caller->query('SET fastcopy.chunk_size = 64');

# A stopped postmaster cannot be shut down, so it is continued first.
END
{
	my $status = $?;
	kill 'CONT', $postmaster_pid if defined $postmaster_pid;
	$? = $status;
}

sub open_files
{
	my ($pid) = @_;
	my @files = glob "/proc/$pid/fd/*";
	return scalar @files;
}

sub segments
{
	my @files = glob $target->data_dir . '/pg_dynshmem/mmap.*';
	return scalar @files;
}

# Runs SQL in the calling session; returns what it prints and the error it raises.
sub call
{
	my ($sql) = @_;
	$caller->{stderr} = '';
	my $output = $caller->query($sql);
	my $error  = $caller->{stderr};
	$caller->{stderr} = '';
	return ($output, $error);
}

my %wrong;

sub expect
{
	my ($what, $got, $pattern) = @_;
	push @{ $wrong{$what} }, $got if $got !~ $pattern;
	return;
}

# Four jobs that succeed, and four that do not, each in another way.
sub round
{
	my ($output, $error);
	my $good = "SELECT fastcopy.copy('$conninfo', 'numbers', 'numbers', 3, truncate => true)";
	my @bad  = (
		sub {
			($output, $error) =
			  call("SELECT fastcopy.copy('$conninfo', 'numbers', 'numbers', 3, filter => '1 / (id - 4000) < 2')");
			expect('an error of the source in the middle', $error, qr/division by zero/);
		},
		sub {
			($output, $error) = call("SELECT fastcopy.copy('$conninfo', 'numbers', 'keyed', 3)");
			expect('an error of the target in the middle', $error, qr/duplicate key/);
			call("DELETE FROM keyed WHERE id < 5000");
		},
		sub {
			my ($job) = call("SELECT fastcopy.start('$conninfo', 'silent', 'silent', 1)");
			($output) = call("SELECT fastcopy.cancel($job)");
			expect('cancelling', $output, qr/^t$/);
			($output, $error) = call("SELECT fastcopy.wait($job)");
			expect('waiting for what was cancelled', $output, qr/^cancelled$/);
		},
		sub {
			($output, $error) = call("SELECT fastcopy.start('$conninfo', 'numbers', 'numbers', 3, filter => 'no_such_column')");
			expect('an error at the start', $error, qr/no_such_column/);
		});
	for my $bad (@bad)
	{
		($output, $error) = call($good);
		expect('a job that ends well', "$output$error", qr/^5000$/);
		$bad->();
	}
	return;
}

round();
no_leftovers($source, $target, 'eight jobs');
my %before = (
	'open files of the postmaster'      => open_files($postmaster_pid),
	'open files of the calling backend' => open_files($caller_pid),
	'shared memory segments'            => segments());
cmp_ok($before{'shared memory segments'}, '>', 0, 'segments are where they are counted');

round() for 2 .. $rounds;
no_leftovers($source, $target, 'many jobs');
my %after = (
	'open files of the postmaster'      => open_files($postmaster_pid),
	'open files of the calling backend' => open_files($caller_pid),
	'shared memory segments'            => segments());
SKIP:
{
	skip 'this platform has no /proc', 1 if $before{'open files of the postmaster'} == 0;
	is_deeply(\%after, \%before, 'no files and segments have been added');
}
my ($output, $error);
ok(!%wrong, 'every job ended as it should')
  or diag map { "$_: " . join("\n", @{ $wrong{$_} }) . "\n" } sort keys %wrong;
is( $target->safe_psql('postgres', q(SELECT string_agg(state || ' ' || n, ', ' ORDER BY state) FROM (SELECT state, count(*) AS n FROM fastcopy.status GROUP BY state) s)),
	sprintf('cancelled %d, done %d, failed %d', $rounds, $rounds * 4, $rounds * 2),
	'the ledger tells of each job that started');

# Nor do starts that are cancelled before the postmaster has started their coordinators: each would keep one of the
# eight slots of the registry for good.
for my $round (1 .. 2)
{
	my $victim = $target->background_psql('postgres', on_error_stop => 0);
	my $pid    = $victim->query('SELECT pg_backend_pid()');
	kill 'STOP', $postmaster_pid;
	for my $n (1 .. 4)
	{
		($output, $error) = call("BEGIN; SET LOCAL statement_timeout = 300;"
			. " SELECT fastcopy.start('$conninfo', 'numbers', 'numbers', 1); ROLLBACK");
		expect('giving up', $error, qr/statement timeout/);
	}
	$victim->query_until(qr/sent/, "\\echo sent\nSELECT fastcopy.start('$conninfo', 'numbers', 'numbers', 1);\n");
	seconds_until(sub { (call("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND wait_event_type = 'Extension'"))[0] eq '1' })
	  // die 'the session does not wait for its coordinator';
	kill 'TERM', $pid;
	seconds_until(sub { gone($pid) || (call("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid"))[0] eq '0' })
	  // die 'the session does not end';
	kill 'CONT', $postmaster_pid;
	quit_quietly($victim);
}
no_leftovers($source, $target, 'starts cancelled before their coordinators ran');
ok(!$wrong{'giving up'}, 'they were cancelled') or diag @{ $wrong{'giving up'} };

# All slots of the registry and of the server are free: a job with the greatest possible number of workers.
($output, $error) = call("SELECT fastcopy.copy('$conninfo', 'numbers', 'numbers', 7, truncate => true)");
is($output, '5000', 'a job with every worker slot of the server');
unlike($error, qr/WARNING/, '... has got them all');

# Sessions that come and go, and that end while their job runs, leave nothing either.
for my $n (1 .. 5)
{
	my $session = $target->background_psql('postgres', on_error_stop => 0);
	$session->query("SELECT fastcopy.start('$conninfo', 'silent', 'silent', 1)");
	$session->quit;
	$target->safe_psql('postgres', 'SELECT fastcopy.cancel(job) FROM fastcopy.live_jobs()');
}
$caller->quit;
no_leftovers($source, $target, 'sessions that ended before their jobs');
done_testing();
