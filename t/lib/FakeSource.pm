# A malicious source: a proxy on a Unix socket in front of a real server. It forwards the messages of both sides and,
# at one chosen point, sends something else.
#
# It understands enough of the protocol to tell messages apart: the client's last query (the text of Query or Parse)
# and each message of the server's answer. The fault is one of
#
#     startup => sub ($c)                   instead of the server: the connection never reaches it
#     on => regex, change => sub ($c, $type, $body)
#                                           for each message of the server while the last question matches;
#                                           returns the bytes to pass on instead of it, or undef for the
#                                           message as it is
#
# and applies to clients whose application_name matches who (default: all). The query of a client that has sent none
# yet is 'startup'. At that point, $c can do more than answer:
#
#     $c->send(bytes)      says this
#     $c->flood(sub)       says what the function returns, again and again, until the client has gone
#     $c->drip(bytes, s)   says this, a byte every so many seconds
#     $c->stall            says nothing more, but listens
#     $c->deafen           neither says anything more nor listens
#     $c->hang_up          closes the connection
#
# Each connection has a process of its own, so a closure's state belongs to that connection.
package FakeSource;

use strict;
use warnings;

use Exporter 'import';
use FastcopyTest '$slowness';
use IO::Select;
use IO::Socket::UNIX;
use POSIX ();
use PostgreSQL::Test::Utils;
use Socket;
use Time::HiRes qw(usleep);

our @EXPORT = qw(
  message data_row row_fields row_description command_complete ready error_response notice notification
  parameter_status authentication copy_data copy_row copy_response copy_done
);

# The parts of messages. A false length may be given.
sub message
{
	my ($type, $body, $length) = @_;
	return $type . pack('N', defined $length ? $length & 0xffffffff : length($body) + 4) . $body;
}

sub field { return defined $_[0] ? pack('N/a*', $_[0]) : pack('N', 0xffffffff) }

sub data_row { return message('D', pack('n', scalar @_) . join('', map { field($_) } @_)) }

sub row_fields
{
	my ($body) = @_;
	my ($count, $rest) = unpack 'n a*', $body;
	my @fields;
	for (1 .. $count)
	{
		my ($length, $more) = unpack 'N a*', $rest;
		if ($length == 0xffffffff) { push @fields, undef; $rest = $more; next }
		push @fields, substr $more, 0, $length;
		$rest = substr $more, $length;
	}
	return @fields;
}

sub row_description
{
	return message('T', pack('n', scalar @_) . join '', map { pack('Z* N n N n N n', $_, 0, 0, 25, 0xffff, 0xffffffff, 0) } @_);
}

sub command_complete { return message('C', "$_[0]\0") }
sub ready            { return message('Z', $_[0] // 'I') }
sub notification     { return message('A', pack('N Z* Z*', 1, @_)) }
sub parameter_status { return message('S', pack('Z* Z*', @_)) }
sub authentication   { return message('R', pack('N', $_[0]) . ($_[1] // '')) }

sub _fields
{
	my (%fields) = @_;
	return join('', map { "$_$fields{$_}\0" } sort keys %fields) . "\0";
}
sub error_response { return message('E', _fields(S => 'ERROR', V => 'ERROR', C => '22000', @_)) }
sub notice { return message('N', _fields(S => 'NOTICE', V => 'NOTICE', C => '00000', @_)) }

sub copy_data { return message('d', $_[0]) }
sub copy_done { return message('c', '') }

# A row in binary; the last argument may be more bytes of it.
sub copy_row { return pack('n', scalar @_) . join '', map { field($_) } @_ }

# CopyOutResponse (H), CopyInResponse (G), CopyBothResponse (W).
sub copy_response { return message($_[0], pack('C n n2', 1, 2, 1, 1)) }

my %running;    # process groups, by pid of the listener

sub new
{
	my ($class, $source, %malice) = @_;
	my $dir  = PostgreSQL::Test::Utils::tempdir_short();
	my $self = bless {
		host   => $dir,
		port   => 5432,
		real   => $source->host . '/.s.PGSQL.' . $source->port,
		counts => "$dir/counts",
		who    => qr/^/,
		%malice
	}, $class;
	append_to_file($self->{counts}, pack('Q2', 0, 0));
	my $listener = IO::Socket::UNIX->new(
		Type   => SOCK_STREAM,
		Local  => "$dir/.s.PGSQL.$self->{port}",
		Listen => 64) or die "could not listen: $!";

	my $pid = fork // die "could not fork: $!";
	if ($pid == 0)
	{
		# Whatever happens here, this process must not run the test's clean-up.
		eval { $self->_listen($listener); };
		print STDERR "FakeSource: $@" if $@;
		POSIX::_exit(0);
	}
	setpgrp $pid, $pid;
	close $listener;
	$running{$pid} = 1;
	$self->{pid} = $pid;
	return $self;
}

sub conninfo
{
	my ($self, %more) = @_;
	my %words = (host => $self->{host}, port => $self->{port}, dbname => 'postgres', %more);
	return join ' ', map { "$_=$words{$_}" } sort keys %words;
}

# The number of bytes that faults have sent, and the number of faults.
sub counts
{
	my ($self) = @_;
	return unpack 'Q2', slurp_file($self->{counts});
}

sub stop
{
	my ($self) = @_;
	return unless delete $running{ $self->{pid} };
	kill 'KILL', -$self->{pid}, $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

END
{
	my $status = $?;
	for my $pid (keys %running)
	{
		kill 'KILL', -$pid, $pid;
		waitpid $pid, 0;
	}
	$? = $status;
}

# What follows runs in processes of their own.

sub _listen
{
	my ($self, $listener) = @_;
	setpgrp 0, 0;
	$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP ALRM __DIE__ __WARN__);
	$SIG{CHLD} = 'IGNORE';
	$SIG{PIPE} = 'IGNORE';
	alarm 300 * $slowness;    # if the test should be killed
	while (my $client = $listener->accept)
	{
		my $pid = fork;
		next if $pid;
		alarm 300 * $slowness;
		close $listener;
		$self->{client} = $client;
		eval { $self->_serve; };
		print STDERR "FakeSource: $@" if $@;
		POSIX::_exit(0);
	}
	return;
}

sub _note
{
	my ($self, $bytes) = @_;
	open $self->{counts_file}, '+<', $self->{counts} or die $! unless $self->{counts_file};
	$self->{bytes} += $bytes;
	$self->{times}++;
	sysseek $self->{counts_file}, 0, 0;
	syswrite $self->{counts_file}, pack('Q2', $self->{bytes}, $self->{times});
	return;
}

# Writes all of it, or exits if the other side has closed the connection.
sub _write
{
	my ($to, $bytes) = @_;
	my $done = 0;
	while ($done < length $bytes)
	{
		my $written = syswrite $to, $bytes, 1024 * 1024, $done;
		POSIX::_exit(0) unless $written;
		$done += $written;
	}
	return;
}

# Reads the available bytes and appends them, or exits.
sub _read
{
	my ($from, $buffer) = @_;
	my $got = sysread $from, $$buffer, 256 * 1024, length $$buffer;
	POSIX::_exit(0) unless $got;
	return;
}

sub send
{
	my ($self, $bytes) = @_;
	$self->_note(0) unless $self->{times};
	_write($self->{client}, $bytes);
	$self->_note(length $bytes);
	return;
}

sub flood
{
	my ($self, $make) = @_;
	$self->send($make->()) while 1;
	return;
}

sub drip
{
	my ($self, $bytes, $seconds) = @_;
	for my $byte (split //, $bytes)
	{
		$self->send($byte);
		usleep($seconds * 1e6);
	}
	return;
}

sub stall
{
	my ($self) = @_;
	$self->_note(0);
	my $ignored;
	while (1) { $ignored = ''; _read($self->{client}, \$ignored) }
	return;
}

sub deafen
{
	my ($self) = @_;
	$self->_note(0);
	sleep 300 * $slowness;
	POSIX::_exit(0);
}

sub hang_up
{
	my ($self) = @_;
	$self->_note(0);
	POSIX::_exit(0);
}

sub _serve
{
	my ($self) = @_;
	my ($client, $question) = ($self->{client}, 'startup');
	my ($asked, $answered) = ('', '');

	_read($client, \$asked) while length $asked < 8 || length $asked < unpack 'N', $asked;
	my $startup = substr $asked, 0, unpack('N', $asked), '';
	my %params = unpack '(Z*)*', substr($startup, 8, -1);
	my $chosen = ($params{application_name} // '') =~ $self->{who};
	if ($chosen && $self->{startup})
	{
		$self->{startup}->($self);
		$self->stall;
	}

	my $server = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $self->{real}) or die "no server: $!";
	_write($server, $startup);
	my $select = IO::Select->new($client, $server);
	while (1)
	{
		for my $ready ($select->can_read)
		{
			if ($ready == $client)
			{
				_read($client, \$asked);
				while (length $asked >= 5 && length $asked > (my $length = unpack 'x N', $asked))
				{
					my $message = substr $asked, 0, $length + 1, '';
					my $type = substr $message, 0, 1;
					$question = unpack 'x5 Z*',    $message if $type eq 'Q';
					$question = (unpack 'x5 Z* Z*', $message)[1] if $type eq 'P';
					_write($server, $message);
				}
				next;
			}
			_read($server, \$answered);
			my $out = '';
			while (length $answered >= 5 && length $answered > (my $length = unpack 'x N', $answered))
			{
				my $message = substr $answered, 0, $length + 1, '';
				if ($chosen && $self->{change} && $question =~ $self->{on})
				{
					_write($client, $out);
					$out = '';
					my $instead = $self->{change}->($self, substr($message, 0, 1), substr($message, 5));
					$self->send($instead) if defined $instead;
					$out = $message       if !defined $instead;
				}
				else { $out .= $message }
			}
			_write($client, $out);
		}
	}
	return;
}

1;
