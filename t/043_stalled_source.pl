# A source that falls silent while its connections stay open: jobs can be stopped, and TCP's keepalives detect a lost
# host.
#
# First the network is a proxy that stops forwarding bytes. TCP sees no fault, so a job may wait indefinitely; but
# cancel, terminate and resume must work meanwhile. Then the network is the kernel's: in a namespace of its own the
# test takes the loopback interface down, so that packets are dropped silently, and keepalives must detect it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyGate;
use FastcopyNamespace '--net';
use FastcopyProxy;
use FastcopyTest;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Socket qw(AF_INET IPPROTO_TCP SOCK_DGRAM SOL_SOCKET SO_KEEPALIVE);
use Test::More;

# Sets the loopback interface up or down, like ip link.
sub loopback
{
	my ($up) = @_;
	my ($get_flags, $set_flags, $flag_up) = (0x8913, 0x8914, 1);
	socket my $socket, AF_INET, SOCK_DGRAM, 0 or die "socket: $!";
	my $request = pack 'a16 s x22', 'lo', 0;
	ioctl $socket, $get_flags, $request or die "could not read the flags of lo: $!";
	my $flags = unpack 'x16 s', $request;
	$flags = $up ? $flags | $flag_up : $flags & ~$flag_up;
	ioctl $socket, $set_flags, pack('a16 s x22', 'lo', $flags) or die "could not set the flags of lo: $!";
	return;
}
loopback(1) if FastcopyNamespace::possible();

my ($source, $target) = start_pair();
my $proxy = FastcopyProxy->new($source->host . '/.s.PGSQL.' . $source->port);

sub through_proxy { return conninfo($source, host => '127.0.0.1', port => $proxy->port, @_) }

# Rows come slowly but continuously while the test holds a lock on the source. A job then takes at least a quarter of
# a minute, so that no worker has finished when the network stalls, however slow the test is.
$source->safe_psql('postgres', q(
CREATE TABLE public.items (id bigint, name text);
INSERT INTO public.items SELECT g, repeat('x', 200) FROM generate_series(1, 20000) g;
CREATE FUNCTION public.drip(id bigint) RETURNS boolean LANGUAGE plpgsql AS
'BEGIN
	IF id % 20 = 0 AND NOT pg_catalog.pg_try_advisory_xact_lock_shared(1) THEN
		PERFORM pg_catalog.pg_sleep(0.05);
	END IF;
	RETURN true;
END'));
my $brake = $source->background_psql('postgres');
my $expected = table_digest($source, 'public.items');

sub start_job
{
	my (%words) = @_;
	my $retry_limit = delete $words{retry_limit} // 3;
	my $conninfo    = through_proxy(%words);
	hold_gate($brake);
	$target->safe_psql('postgres', 'DROP TABLE IF EXISTS public.items; CREATE TABLE public.items (id bigint, name text)');
	my $job = $target->safe_psql('postgres', qq(
		SET fastcopy.chunk_size = '64kB'; SET fastcopy.retry_delay = '50ms'; SET fastcopy.retry_limit = $retry_limit;
		SELECT fastcopy.start('$conninfo', 'public.items', 'public.items', 3, filter => 'public.drip(id)')));
	$target->poll_query_until('postgres', qq(
		SELECT count(*) = 3 AND (SELECT chunks_done > 0 FROM fastcopy.status WHERE job = $job)
		FROM fastcopy.workers WHERE job = $job AND rows_in_chunk > 0)) or die 'the job does not flow';
	return $job;
}

sub processes
{
	return split /\n/, $target->safe_psql('postgres',
		q(SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'fastcopy%'));
}

# Stalls the network, and returns when the workers have read what had been sent.
sub stall
{
	my ($job) = @_;
	cmp_ok($proxy->stall, '>=', 4, 'the network stalls, with all connections open');
	my ($before, $same) = ('', 0);
	defined seconds_until(
		sub {
			my $now = $target->safe_psql('postgres', "SELECT string_agg(bytes_in_chunk::text, ' ' ORDER BY worker) FROM fastcopy.workers");
			$same = $now eq $before ? $same + 1 : 0;
			$before = $now;
			return $same >= 3;
		}) or die 'the workers still read';
	return;
}

sub ends
{
	my ($job, $state, $sqlstate, $name, @pids) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(defined seconds_until(sub { gone(@pids) }), "$name: the processes are gone, while the source is silent");
	is($target->safe_psql('postgres', "SELECT state, sqlstate FROM fastcopy.status WHERE job = $job"),
		"$state|$sqlstate", "$name: the job reads $state");
	return;
}

sub completes
{
	my ($job, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$brake->query_safe('SELECT pg_advisory_unlock_all()');
	is(wait_state($target, $job, 'done|failed'), 'done', "$name: the job is done");
	is(table_digest($target, 'public.items'), $expected, "$name: each row is there once");
	no_leftovers($source, $target, $name);
	return;
}

sub resume_and_complete
{
	my ($job, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	no_leftovers($source, $target, "$name, stopped");
	is($target->safe_psql('postgres', "SELECT fastcopy.resume($job)"), $job, "$name: resume");
	completes($job, $name);
	return;
}

# The user cancels the job. While the network still stalls, a resume cannot start, but can be cancelled.
{
	my $name = 'cancel()';
	my $job = start_job();
	stall($job);
	my @pids = processes();
	is($target->safe_psql('postgres', "SELECT fastcopy.cancel($job)"), 't', "$name: says so");
	ends($job, 'cancelled', '', $name, @pids);
	fails_with($target, "SET statement_timeout = '1s'; SELECT fastcopy.resume($job)",
		'57014', qr/^canceling statement due to statement timeout$/, "$name: resume without an answer can be given up");
	ok(defined seconds_until(sub { !processes() }), "$name: that has left no process");
	is($target->safe_psql('postgres', "SELECT state FROM fastcopy.status WHERE job = $job"),
		'cancelled', "$name: and the job as it was");
	$proxy->flow;
	resume_and_complete($job, $name);
}

# A worker, or the coordinator, is terminated.
{
	my $name = 'worker cancelled';
	my $job = start_job();
	stall($job);
	my @pids = processes();
	$target->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM fastcopy.workers LIMIT 1');
	ends($job, 'failed', '57014', $name, @pids);
	$proxy->flow;
	resume_and_complete($job, $name);

	$name = 'coordinator terminated';
	$job = start_job();
	stall($job);
	@pids = processes();
	$target->safe_psql('postgres', q(
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'fastcopy coordinator'));
	ends($job, 'interrupted', '', $name, @pids);
	$proxy->flow;
	resume_and_complete($job, $name);

	$name = 'worker terminated';
	$job = start_job();
	stall($job);
	my ($pid) = split /\n/, $target->safe_psql('postgres', 'SELECT pid FROM fastcopy.workers ORDER BY worker');
	$target->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	ok(defined seconds_until(sub { gone($pid) }), "$name: it goes, while the source is silent");
	is($target->safe_psql('postgres', "SELECT state FROM fastcopy.status WHERE job = $job"), 'copying', "$name: the job goes on");
	$proxy->flow;
	completes($job, $name);
}

# Transient faults: the network comes back, or breaks and comes back.
{
	my $name = 'stall that passes';
	my $job = start_job();
	stall($job);
	$proxy->flow;
	completes($job, $name);

	$name = 'one connection breaks after a stall';
	$job = start_job();
	stall($job);
	$proxy->cut_one(0.99, how => 'reset');
	$proxy->flow;
	completes($job, $name);

	$name = 'all connections break';
	$job = start_job(retry_limit => 100);
	my @pids = processes();
	$proxy->refuse;
	$proxy->cut(how => 'reset');
	ends($job, 'failed', '08006', $name, @pids);
	like($target->safe_psql('postgres', "SELECT detail FROM fastcopy.status WHERE job = $job"),
		qr/\w.*\nNo connection is left that holds the snapshot of the source\.$/s, "$name: and how, and what that means");
	like(slurp_file($target->logfile),
		qr/fastcopy job $job has lost its coordinator's connection: lost the connection .*\n.*DETAIL:  \w/, "$name: the log has it too");
	$proxy->admit;
	resume_and_complete($job, $name);
}

# The options of the sockets that the job's processes have to the source, by asking the kernel about their
# file descriptors: lines "keepalive idle interval count user_timeout".
sub socket_options
{
	my (@pids) = @_;
	my ($pidfd_open, $pidfd_getfd) = (434, 438);
	my ($keepidle, $keepintvl, $keepcnt, $user_timeout) = (4, 5, 6, 18);
	my $port = sprintf '0100007F:%04X', $proxy->port;
	my %inodes = map { (split)[9] => 1 } grep { (split)[2] eq $port } split /\n/, slurp_file('/proc/net/tcp');
	my @lines;
	for my $pid (@pids)
	{
		my $handle = syscall $pidfd_open, $pid + 0, 0;    # a string would be passed as an address
		return if $handle < 0;
		for my $path (glob "/proc/$pid/fd/*")
		{
			my ($inode) = (readlink($path) // '') =~ /^socket:\[(\d+)\]$/;
			next unless defined $inode && $inodes{$inode};
			my ($number) = $path =~ /(\d+)$/;
			my $fd = syscall $pidfd_getfd, $handle, $number + 0, 0;
			return if $fd < 0;
			open my $socket, '+<&=', $fd or return;
			push @lines, join ' ', map { unpack 'i', getsockopt $socket, $_->[0], $_->[1] }
			  [ SOL_SOCKET, SO_KEEPALIVE ], map { [ IPPROTO_TCP, $_ ] } $keepidle, $keepintvl, $keepcnt, $user_timeout;
		}
		POSIX::close($handle);
	}
	return @lines;
}

SKIP:
{
	skip 'the kernel does not let us look at sockets', 2
	  if $^O ne 'linux' || (syscall(438, -1, 0, 0) < 0 && $!{ENOSYS}) || !FastcopyNamespace::possible();
	my $job = start_job();
	my @options = socket_options(processes());
	is(join("\n", @options), join("\n", ('1 30 10 3 60000') x 4),
		'coordinator and workers have keepalives and a timeout for what is not acknowledged');
	$target->safe_psql('postgres', "SELECT fastcopy.cancel($job)");
	$brake->query_safe('SELECT pg_advisory_unlock_all()');
	no_leftovers($source, $target, 'cancelled');
	$job = start_job(keepalives_idle => 7, keepalives_interval => 6, keepalives_count => 5, tcp_user_timeout => 44000);
	is(join("\n", socket_options(processes())), join("\n", ('1 7 6 5 44000') x 4), 'the connection string changes them');
	$target->safe_psql('postgres', "SELECT fastcopy.cancel($job)");
	$brake->query_safe('SELECT pg_advisory_unlock_all()');
	no_leftovers($source, $target, 'cancelled');
}

SKIP:
{
	skip 'this machine does not let us have a network of our own', 8 unless FastcopyNamespace::possible();
	my $name = 'packets are lost';
	my $job = start_job(keepalives_idle => 1, keepalives_interval => 1, keepalives_count => 2, tcp_user_timeout => 3000,
		connect_timeout => 2);
	my @pids = processes();
	loopback(0);
	my $seconds = seconds_until(
		sub { $target->safe_psql('postgres', "SELECT state FROM fastcopy.status WHERE job = $job") eq 'failed' });
	loopback(1);
	ok(defined $seconds, "$name: the job notices") and note sprintf 'after %.1f s', $seconds;
	ends($job, 'failed', '08006', $name, @pids);
	is($target->safe_psql('postgres', "SELECT error FROM fastcopy.status WHERE job = $job"),
		'lost the connection to the source server', "$name: and says why");
	my $log = slurp_file($target->logfile);
	my %noticed = map { $_ => 1 } $log =~ /fastcopy job $job will retry chunk (\d+): lost the connection to the source server/g;
	is(scalar keys %noticed, 3, "$name: each worker has noticed");
	$proxy->cut;
	resume_and_complete($job, $name);
}

$brake->quit;
$proxy->stop;
done_testing();
