# A gate at which a job waits: a function or trigger on either server takes an advisory lock in shared mode,
# pg_advisory_xact_lock_shared(1), while a session of the test holds it exclusively.
#
#     hold_gate($session);                  # shut: a chunk that comes to the place waits
#     wait_at_gate($node, $workers);        # until so many of them wait there
#     open_gate($session);
package FastcopyGate;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(hold_gate open_gate wait_at_gate await_lock add_hold);

sub hold_gate { $_[0]->query_safe('SELECT pg_advisory_lock(1)'); return }
sub open_gate { $_[0]->query_safe('SELECT pg_advisory_unlock(1)'); return }

# Returns whether so many sessions of the server wait at the gate; false after a timeout.
sub wait_at_gate
{
	my ($node, $count) = @_;
	return $node->poll_query_until('postgres',
		"SELECT count(*) = $count FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
}

# Makes the trigger function public.hold, which waits at the gate.
sub add_hold
{
	my ($node) = @_;
	$node->safe_psql('postgres', q(
		CREATE OR REPLACE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared(1); RETURN NEW; END'));
	return;
}

# Waits until some session of the server waits for a lock of this type (default: at the gate); dies after a timeout.
sub await_lock
{
	my ($node, $type) = @_;
	$type //= 'advisory';
	$node->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_locks WHERE locktype = '$type' AND NOT granted")
	  or die "no session waits for a lock of type $type\n";
	return;
}

1;
