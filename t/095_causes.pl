# An error is reported with its cause: status never shows a failure without its error, and compare reports the error
# that caused the others, however late it arrives at the process whose session met it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FakeSource;
use FastcopyGate;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my ($source, $target) = start_pair();
my $conninfo = conninfo($source);

$source->safe_psql('postgres', q(
CREATE TABLE public.items (id bigint PRIMARY KEY, name text);
INSERT INTO public.items SELECT g, 'name ' || g FROM generate_series(1, 20000) g;
CREATE FUNCTION public.gate(id bigint) RETURNS boolean LANGUAGE plpgsql AS
'BEGIN
	IF id = 10000 THEN PERFORM pg_catalog.pg_advisory_xact_lock_shared(1); END IF;
	RETURN 1 / (id - 10001) IS NOT NULL;
END'));
$target->safe_psql('postgres', q(
CREATE TABLE public.items (id bigint, name text);
CREATE FUNCTION public.gate(id bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true'));

# A job fails between a statement's snapshot and its look at the running jobs: here within a transaction that sees the
# start only. The columns of the view are consistent.
my $gatekeeper = $source->background_psql('postgres');
hold_gate($gatekeeper);
my $job = $target->safe_psql('postgres',
	"SELECT fastcopy.start('$conninfo', 'public.items', 'public.items', 1, filter => 'public.gate(id)')");
wait_at_gate($source, 1)
  or die 'the job does not wait';
my $observer = $target->background_psql('postgres');
my $status   = "SELECT state, sqlstate, error, finished_at IS NOT NULL FROM fastcopy.status WHERE job = $job";
$observer->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($observer->query_safe($status), 'copying|||f', 'a job that runs');
open_gate($gatekeeper);
is(wait_state($target, $job, 'failed|done'), 'failed', 'it fails');
$target->poll_query_until('postgres', 'SELECT count(*) = 0 FROM fastcopy.live_jobs()') or die 'the job does not end';
is($observer->query_safe($status), 'copying|||f', 'a snapshot before the end shows nothing of it');
$observer->query_safe('COMMIT');
is($observer->query_safe($status), 'failed|22012|division by zero|t', '... and all of it, where it is');

# An interrupted job has not ended.
$target->safe_psql('postgres', 'TRUNCATE public.items');
hold_gate($gatekeeper);
$job = $target->safe_psql('postgres',
	"SELECT fastcopy.start('$conninfo', 'public.items', 'public.items', 1, filter => 'public.gate(id)')");
$observer->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($observer->query_safe("SELECT state FROM fastcopy.status WHERE job = $job"), 'copying', 'another job that runs');
$target->safe_psql('postgres', 'SELECT pg_terminate_backend(coordinator_pid, 10000) FROM fastcopy.live_jobs()');
$target->poll_query_until('postgres', 'SELECT count(*) = 0 FROM fastcopy.live_jobs()') or die 'the job does not end';
is($observer->query_safe("SELECT state FROM fastcopy.status WHERE job = $job"), 'interrupted', 'a job that was interrupted');
$observer->quit;
$gatekeeper->quit;

# The leader's query fails immediately on the source, and the snapshot that the others need is gone. The leader
# receives the error a second later.
my $deaf = FakeSource->new($source, who => qr/compare worker 0/, on => qr/FROM .*items/s,
	change => sub {
		my ($c, $type) = @_;
		usleep(1_000_000) if $type eq 'E';
		return undef;
	});
my $compare = sprintf q(SET fastcopy.chunk_size = '64kB'; SELECT * FROM fastcopy.compare('%s', 'public.items', 'public.items', 4, filter => '1 / (id - 100) < 5')),
  $deaf->conninfo;
fails_with($target, $compare, '22012', qr/^division by zero$/, 'the error that the leader has met');
$deaf->stop;

no_leftovers($source, $target, 'at the end');
done_testing();
