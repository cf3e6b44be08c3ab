# A session of PostgreSQL over its Unix socket, with the protocol of simple queries only.
#
# Tests send many small queries, and the torture test sends them to servers that are killed. A process per query would
# cost more than what is tested, and psql waits without a limit for a server that is gone. Here each wait has a limit,
# and each failure is an object with an SQLSTATE: the server's, 08006 if the connection broke, 57014 with the message
# "timeout" at the limit.
package FastcopySession;

use strict;
use warnings;

use IO::Select;
use IO::Socket::UNIX;
use Socket qw(SOCK_STREAM);
use Time::HiRes qw(time);

sub _fail
{
	my ($sqlstate, $message) = @_;
	die bless { sqlstate => $sqlstate, message => $message }, 'FastcopySession::Failure';
}

# Arguments: path (of the socket), user and dbname (postgres), name (application_name), limit (seconds).
sub connect
{
	my ($class, %opts) = @_;
	my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $opts{path})
	  or _fail('08001', "could not connect: $!");
	my $self = bless { socket => $socket, buffer => '' }, $class;
	my $startup = pack 'N (Z*)*', 196608,
	  user => $opts{user} // 'postgres', database => $opts{dbname} // 'postgres',
	  application_name => $opts{name} // 'torture', '';
	$self->_send(pack('N', length($startup) + 4) . $startup);
	$self->{waiting} = 1;
	$self->result($opts{limit} // 30);
	return $self;
}

# Sends a query; result() returns its rows.
sub send_query
{
	my ($self, $sql) = @_;
	$self->_send('Q' . pack('N', length($sql) + 5) . "$sql\0");
	$self->{waiting} = 1;
	return;
}

# Waits for the result: the rows of the last statement that returns rows, each an array.
sub result
{
	my ($self, $limit) = @_;
	my $deadline = time + ($limit // 60);
	my ($failure, @rows);
	for (;;)
	{
		my ($type, $body) = $self->_message($deadline);
		if ($type eq 'T') { @rows = () }
		elsif ($type eq 'D')
		{
			my ($count, $rest) = unpack 'n a*', $body;
			my @fields;
			for (1 .. $count)
			{
				my $length = unpack 'l>', $rest;
				if ($length < 0) { push @fields, undef; $rest = substr $rest, 4; next }
				push @fields, substr $rest, 4, $length;
				$rest = substr $rest, 4 + $length;
			}
			push @rows, \@fields;
		}
		elsif ($type eq 'E')
		{
			my %fields = map { substr($_, 0, 1) => substr($_, 1) } grep { length } split /\0/, $body;
			$failure = { sqlstate => $fields{C}, message => $fields{M}, detail => $fields{D} };
			last if $fields{V} ne 'ERROR';
		}
		elsif ($type eq 'Z') { last }
	}
	$self->{waiting} = 0;
	die bless $failure, 'FastcopySession::Failure' if $failure;
	return \@rows;
}

sub query
{
	my ($self, $sql, $limit) = @_;
	$self->send_query($sql);
	return $self->result($limit);
}

# The first column of the first row.
sub value
{
	my ($self, $sql, $limit) = @_;
	my $rows = $self->query($sql, $limit);
	return @$rows ? $rows->[0][0] : undef;
}

# Sends Terminate, if the server is still there.
sub close
{
	my ($self) = @_;
	eval { $self->_send('X' . pack('N', 4)) } unless $self->{waiting};
	close $self->{socket};
	return;
}

sub _send
{
	my ($self, $bytes) = @_;
	local $SIG{PIPE} = 'IGNORE';
	while (length $bytes)
	{
		my $written = syswrite $self->{socket}, $bytes;
		next if !defined $written && $!{EINTR};
		_fail('08006', "connection lost: $!") unless $written;
		substr $bytes, 0, $written, '';
	}
	return;
}

sub _message
{
	my ($self, $deadline) = @_;
	my $select = $self->{select} //= IO::Select->new($self->{socket});
	for (;;)
	{
		if (length $self->{buffer} >= 5)
		{
			my ($type, $length) = unpack 'a N', $self->{buffer};
			if (length $self->{buffer} > $length)
			{
				my $message = substr $self->{buffer}, 0, $length + 1, '';
				return ($type, substr $message, 5);
			}
		}
		my $left = $deadline - time;
		_fail('57014', 'timeout') if $left <= 0;
		next unless $select->can_read($left);
		my $got = sysread $self->{socket}, $self->{buffer}, 256 * 1024, length $self->{buffer};
		next if !defined $got && $!{EINTR};
		_fail('08006', 'connection lost: ' . ($got // $!)) unless $got;
	}
	return;
}

1;
