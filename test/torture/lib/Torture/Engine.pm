# The engine that stores the target's tables, if there is one: the settings that it needs, and how to bring a
# distributed target to rest.
#
# With Citus the target is the coordinator of a cluster of two nodes, which both have shards: chunks are committed in
# two phases. Citus commits or rolls back the transactions that a crash has left prepared on the node, after a while
# or on request. Until then a count by the table's name does not include them; and such a count reads the shards under
# several snapshots. So rows and ledger are compared when nothing runs and no transaction is prepared.
package Torture::Engine;

use strict;
use warnings;

use Time::HiRes qw(sleep time);

# Arguments: name (of the engine, or nothing), target, node (of a cluster).
sub new
{
	my ($class, %self) = @_;
	$self{name} //= '';
	return bless {%self}, $class;
}

# For shared_preload_libraries; engines must be first.
sub libraries
{
	my ($self, @more) = @_;
	return join ', ', grep { $_ } $self->{name}, @more;
}

sub prepare
{
	my ($self) = @_;
	my ($target, $node) = @$self{qw(target node)};
	$_->rows("CREATE EXTENSION $self->{name}") for grep { $self->{name} && $_ } $target, $node;
	return unless $node;
	my ($host, $node_host) = map { "$_->{work}/$_->{name}" } $target, $node;
	$target->rows("SELECT citus_set_coordinator_host('$host', $target->{port})");
	$target->rows("SELECT citus_set_node_property('$host', $target->{port}, 'shouldhaveshards', true)");
	$target->rows("SELECT citus_add_node('$node_host', $node->{port})");
	return;
}

# The number of shared memory segments that it keeps: one for TimescaleDB from 2.29 on, for PostgreSQL 16 and later.
sub segments
{
	my ($self) = @_;
	return $self->{name} eq 'timescaledb' && $self->{target}->value('SHOW server_version_num') >= 160000 ? 1 : 0;
}

sub is_distributed { return $_[0]{name} eq 'citus' }

# Messages of an engine about a lost node, without an SQLSTATE that says so.
my @lost_node = (
	'failure on connection marked as essential', 'failed to COPY to shard', 'terminating connection due to',
	'server closed the connection unexpectedly', 'no connection to the server', 'connection not open');
my ($lost_node) = map { qr/^(?:$_)/ } join '|', @lost_node;

# From PostgreSQL 17 on, Citus 14 frees the set of events of a connection that it is making twice when an error ends the
# transaction of a function or a background process: once by its resource owner, once by a callback of a memory context
# (WaitEventSetFromMultiConnectionStates).
my $freed_twice = qr/^WaitEventSet 0x[0-9a-f]+ is not owned by resource owner /;

sub explains
{
	my ($self, $failure) = @_;
	return $self->is_distributed && $failure->{sqlstate} =~ /^(?:XX000|58030)$/ && $failure->{message} =~ /$lost_node|$freed_twice/;
}

# A line of the log: Citus raises an error if the postmaster is gone while it sends a commit to its nodes, and
# PostgreSQL cannot abort a committed transaction. The server is down then.
sub explains_panic
{
	my ($self, $line, $log) = @_;
	my ($pid) = $line =~ /\[(\d+)\].*PANIC:  cannot abort transaction \d+, it was already committed/ or return 0;
	return $self->is_distributed && $log =~ /\[$pid\].*ERROR:  postmaster was shut down, exiting/;
}

# Waits until no transaction is prepared; false after a timeout. No job may be running.
sub settle
{
	my ($self) = @_;
	return 1 unless $self->is_distributed;
	my $deadline = time + 30;
	while (time < $deadline)
	{
		my $left = eval {
			$self->{target}->value('SELECT recover_prepared_transactions()', limit => 10);
			$self->{node}->value('SELECT count(*) FROM pg_prepared_xacts') + $self->{target}->value('SELECT count(*) FROM pg_prepared_xacts');
		};
		return 1 if defined $left && $left == 0;
		die $@ unless defined $left || ref $@;
		sleep 0.02;
	}
	return 0;
}

1;
