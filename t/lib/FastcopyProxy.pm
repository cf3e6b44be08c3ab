# A network that fails on command: a process that forwards bytes between 127.0.0.1 and a server's Unix socket without
# interpreting them.
#
#     my $proxy = FastcopyProxy->new("$dir/.s.PGSQL.5432");
#     $proxy->port           where it listens, on 127.0.0.1
#     $proxy->cut            ends all connections; cut(how => 'reset') with an RST, else with a FIN
#     $proxy->cut_one($r)    ends one; $r, from 0 to less than 1, says which
#     $proxy->stall          passes nothing on any more, in either direction, and keeps all connections; those
#                            that are made meanwhile get no answer. Like a firewall that has forgotten.
#     $proxy->flow           passes on again, what was held back too
#     $proxy->refuse         ends each new connection at once
#     $proxy->admit          no longer
#     $proxy->hold($n)       lets $n more connections through and keeps those after them waiting: they are
#                            accepted, and nobody answers them
#     $proxy->held           how many are kept waiting
#     $proxy->release        lets them through, and all that follow
#     $proxy->connections    how many there are
#     $proxy->stop
#
# Functions that end connections return their number. Each call returns when it has taken effect.
#
# While it stalls, the proxy does not notice that a client has exited: the server keeps that session until the proxy
# forwards again. TCP itself works meanwhile, so keepalives detect nothing; for that the kernel's network must fail.
#
# It uses Perl's core modules only, as it serves the TAP tests and the torture test.
package FastcopyProxy;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(AF_UNIX IPPROTO_TCP PF_UNSPEC SOCK_STREAM SOL_SOCKET SO_LINGER TCP_NODELAY);

my %running;    # by process id

sub new
{
	my ($class, $path) = @_;
	my $listener = IO::Socket::INET->new(
		LocalAddr => '127.0.0.1',
		LocalPort => 0,
		Proto     => 'tcp',
		Listen    => 128) or die "could not listen: $!\n";
	my $self = bless { path => $path, port => $listener->sockport }, $class;
	socketpair($self->{control}, my $commands, AF_UNIX, SOCK_STREAM, PF_UNSPEC)
	  or die "socketpair: $!\n";

	my $parent = $$;
	my $pid = fork // die "could not fork: $!\n";
	if ($pid == 0)
	{
		# Whatever happens here, this process must not run its creator's clean-up.
		close $self->{control};
		$SIG{$_} = 'DEFAULT' for qw(TERM HUP ALRM CHLD __DIE__ __WARN__);
		$SIG{PIPE} = $SIG{INT} = 'IGNORE';
		eval {
			%$self = (
				path     => $path,
				parent   => $parent,
				listener => $listener,
				commands => $commands,
				pairs    => {},
				held     => []);
			$self->_serve;
		};
		print STDERR "FastcopyProxy: $@" if $@;
		POSIX::_exit(0);
	}
	close $commands;
	$self->{control}->autoflush(1);
	$self->{pid} = $pid;
	$running{$pid} = $self;
	return $self;
}

sub port { return $_[0]{port} }

sub _command
{
	my ($self, $command) = @_;
	print { $self->{control} } "$command\n";
	my $answer = readline $self->{control};
	die "the proxy is gone\n" unless defined $answer;
	return $answer + 0;
}

sub cut         { my ($self, %opts) = @_; return $self->_command('cut ' . ($opts{how} // 'close')) }
sub cut_one     { my ($self, $which, %opts) = @_; return $self->_command('cut_one ' . ($opts{how} // 'close') . " $which") }
sub stall       { return $_[0]->_command('stall') }
sub flow        { return $_[0]->_command('flow') }
sub refuse      { return $_[0]->_command('refuse') }
sub admit       { return $_[0]->_command('admit') }
sub hold        { my ($self, $after) = @_; return $self->_command("hold $after") }
sub held        { return $_[0]->_command('held') }
sub release     { return $_[0]->_command('release') }
sub connections { return $_[0]->_command('connections') }

sub stop
{
	my ($self) = @_;
	return unless delete $running{ $self->{pid} };
	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

END
{
	my $status = $?;
	$_->stop for values %running;
	$? = $status;
}

# What follows runs in a process of its own.

# A connection is a pair of ends; each has its peer and the bytes that are still to be written to it.
sub _admit_connection
{
	my ($self) = @_;
	my $client = $self->{listener}->accept or return;
	if (defined $self->{admissions} && $self->{admissions}-- <= 0)
	{
		push @{ $self->{held} }, $client;
		return;
	}
	$self->_connect($client);
	return;
}

sub _connect
{
	my ($self, $client) = @_;
	my $server = $self->{refusing} ? undef : IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $self->{path});
	return _close_end($client, 'reset') unless $server;
	setsockopt $client, IPPROTO_TCP, TCP_NODELAY, 1;
	my $pair = { number => ++$self->{last_number}, sockets => [ $client, $server ] };
	for my $ends ([ $client, $server ], [ $server, $client ])
	{
		my ($socket, $peer) = @$ends;
		$socket->blocking(0);
		$self->{ends}{$socket} = { socket => $socket, peer => $peer, pair => $pair, pending => '' };
	}
	$self->{pairs}{ $pair->{number} } = $pair;
	return;
}

sub _close_end
{
	my ($socket, $how) = @_;
	setsockopt $socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0) if $how eq 'reset';
	close $socket;
	return;
}

sub _cut
{
	my ($self, $pair, $how) = @_;
	delete $self->{ends}{$_} for @{ $pair->{sockets} };
	_close_end($pair->{sockets}[0], $how);
	_close_end($pair->{sockets}[1], 'close');
	delete $self->{pairs}{ $pair->{number} };
	return;
}

# Writes the pending bytes of an end. A pair that is closing ends when all bytes are forwarded.
sub _write
{
	my ($self, $end) = @_;
	if (length $end->{pending})
	{
		my $written = syswrite $end->{socket}, $end->{pending};
		if (defined $written) { substr $end->{pending}, 0, $written, '' }
		elsif (!$!{EAGAIN} && !$!{EINTR}) { return $self->_cut($end->{pair}, 'close') }
	}
	$self->_cut($end->{pair}, 'close') if $end->{last} && $end->{pending} eq '';
	return;
}

# Reads once from an end and forwards the bytes.
sub _read
{
	my ($self, $end) = @_;
	my $peer = $self->{ends}{ $end->{peer} };
	my $got = sysread $end->{socket}, $peer->{pending}, 256 * 1024, length $peer->{pending};
	return if !defined $got && ($!{EAGAIN} || $!{EINTR});
	$end->{ended} = $peer->{last} = 1 unless $got;
	$self->_write($peer);
	return;
}

sub _obey
{
	my ($self, $command) = @_;
	my ($verb, $how, $which) = split ' ', $command;
	if ($verb eq 'hold') { $self->{admissions} = $how }
	elsif ($verb eq 'release')
	{
		delete $self->{admissions};
		$self->_connect($_) for splice @{ $self->{held} };
	}
	return scalar @{ $self->{held} } if $verb =~ /^(?:hold|held|release)$/;

	my @pairs = map { $self->{pairs}{$_} } sort { $a <=> $b } keys %{ $self->{pairs} };
	if    ($verb eq 'stall')  { $self->{stalled}  = 1 }
	elsif ($verb eq 'flow')   { $self->{stalled}  = 0 }
	elsif ($verb eq 'refuse') { $self->{refusing} = 1 }
	elsif ($verb eq 'admit')  { $self->{refusing} = 0 }
	elsif ($verb =~ /^cut/)
	{
		@pairs = $pairs[ int($which * @pairs) ] if $verb eq 'cut_one' && @pairs;
		$self->_cut($_, $how) for @pairs;
	}
	return scalar @pairs;
}

sub _serve
{
	my ($self) = @_;
	while (getppid() == $self->{parent})
	{
		# An end whose peer's buffer is full is not read: so one side slows the other down.
		my @read  = ($self->{commands});
		my @write = ();
		if (!$self->{stalled})
		{
			my @ends = values %{ $self->{ends} };
			push @read, $self->{listener},
			  map { $_->{socket} } grep { !$_->{ended} && $self->{ends}{ $_->{peer} }{pending} eq '' } @ends;
			@write = map { $_->{socket} } grep { $_->{pending} ne '' } @ends;
		}
		my ($readable, $writable) =
		  IO::Select->select(IO::Select->new(@read), IO::Select->new(@write), undef, 1);

		# Commands come first: connections that they cut must not be read.
		if (grep { $_ == $self->{commands} } @{ $readable || [] })
		{
			return unless sysread $self->{commands}, my $command, 100;
			syswrite $self->{commands}, $self->_obey($command) . "\n";
			next;
		}
		for my $socket (@{ $writable || [] })
		{
			my $end = $self->{ends}{$socket};
			$self->_write($end) if $end;
		}
		for my $socket (@{ $readable || [] })
		{
			if ($socket == $self->{listener}) { $self->_admit_connection; next }
			my $end = $self->{ends}{$socket};
			$self->_read($end) if $end;
		}
	}
	return;
}

1;
