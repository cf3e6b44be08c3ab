# A server that is killed and started again. scripts/torture creates it, so the first postmaster is not our child; the
# later ones are, in sessions of their own so that Ctrl-C does not reach them.
package Torture::Server;

use strict;
use warnings;

use POSIX ();
use Time::HiRes qw(sleep time);
use FastcopySession;

# Arguments: name, work (the directory that contains the cluster's), bindir, port.
sub new
{
	my ($class, %self) = @_;
	my $dir = "$self{work}/$self{name}";
	my $self = bless {
		%self,
		data => "$dir/data",
		log  => "$dir/log",
		path => "$dir/.s.PGSQL.$self{port}"
	}, $class;
	open my $file, '<', "$self->{data}/postmaster.pid" or die "$self->{name} does not run: $!\n";
	chomp($self->{pid} = readline $file);
	return $self;
}

# Whether a process runs. An ended child is reaped: PostgreSQL takes a zombie for a running postmaster.
sub alive
{
	my ($pid) = @_;
	open my $file, '<', "/proc/$pid/stat" or return 0;
	my ($state) = (readline($file) // '') =~ /\) (\S)/;
	return 1 if defined $state && $state !~ /[ZX]/;
	waitpid $pid, POSIX::WNOHANG;
	return 0;
}

# Waits until none of these processes runs; returns those that still run at the limit.
sub wait_gone
{
	my ($limit, @pids) = @_;
	my $deadline = time + $limit;
	while ((@pids = grep { alive($_) } @pids) && time < $deadline) { sleep 0.003 }
	return @pids;
}

sub children
{
	my ($self) = @_;
	open my $file, '<', "/proc/$self->{pid}/task/$self->{pid}/children" or return ();
	return split ' ', readline($file) // '';
}

sub start
{
	my ($self) = @_;
	my $deadline = time + 60;
	for (;;)
	{
		my $pid = fork // die "could not fork: $!\n";
		if ($pid == 0)
		{
			POSIX::setsid();
			$SIG{$_} = 'DEFAULT' for keys %SIG;
			open STDIN,  '<',  '/dev/null';
			open STDOUT, '>>', $self->{log};
			open STDERR, '>&', \*STDOUT;
			exec "$self->{bindir}/postgres", '-D', $self->{data} or POSIX::_exit(127);
		}
		$self->{pid} = $pid;
		return if $self->wait_ready($deadline - time);

		# Processes of the former postmaster keep its shared memory for a moment.
		die "$self->{name} does not start, see its log\n" if alive($pid) || time > $deadline;
		sleep 0.01;
	}
	return;
}

# Waits until the server accepts connections; false if its postmaster exits or at the limit.
sub wait_ready
{
	my ($self, $limit) = @_;
	my $deadline = time + ($limit // 60);
	while (time < $deadline)
	{
		return 1 if eval { FastcopySession->connect(path => $self->{path}, limit => 10)->close; 1 };
		return 0 unless alive($self->{pid});
		sleep 0.005;
	}
	return 0;
}

# Stops the server: fast, immediate, or kill, which is a SIGKILL of the postmaster. Dies if one of its processes is
# still there after a long while.
sub stop
{
	my ($self, $how) = @_;
	my @pids = ($self->{pid}, $self->children);
	$self->disconnect;
	kill { fast => 'INT', immediate => 'QUIT', kill => 'KILL' }->{$how}, $self->{pid};
	my @left = wait_gone(60, @pids);
	return unless @left;
	my @names = map { my $p = $_; local @ARGV = "/proc/$p/cmdline"; (readline // '') =~ tr/\0/ /r } @left;
	kill 'KILL', @left;
	die "processes of the $self->{name} have survived $how: @names\n";
}

# A session for our own queries, kept until it breaks.
sub session
{
	my ($self) = @_;
	return $self->{session} //= FastcopySession->connect(path => $self->{path});
}

sub disconnect
{
	my ($self) = @_;
	my $session = delete $self->{session};
	$session->close if $session;
	return;
}

# Runs a query. Failures of a server that is down or shutting down are retried up to the limit; with once => 1 they
# are raised like all others.
sub rows
{
	my ($self, $sql, %opts) = @_;
	my $deadline = time + ($opts{limit} // 60);
	for (;;)
	{
		my $rows = eval { $self->session->query($sql, $opts{limit}) };
		return $rows if $rows;
		my $failure = $@;
		die $failure unless ref $failure;
		$self->disconnect if $failure->{sqlstate} =~ /^(?:08|57)/;
		die $failure
		  if $opts{once} || $failure->{sqlstate} !~ /^(?:08|57P0)/ || time > $deadline;
		sleep 0.005;
	}
	return;
}

sub value
{
	my ($self, $sql, %opts) = @_;
	my $rows = $self->rows($sql, %opts);
	return @$rows ? $rows->[0][0] : undef;
}

sub column
{
	my ($self, $sql, %opts) = @_;
	return map { $_->[0] } @{ $self->rows($sql, %opts) };
}

# What has been written to the log since the last call.
sub new_log
{
	my ($self) = @_;
	open my $file, '<', $self->{log} or return '';
	seek $file, $self->{log_position} // 0, 0;
	local $/;
	my $text = readline($file) // '';
	$self->{log_position} = tell $file;
	return $text;
}

1;
