# A node of the target's Citus cluster is lost in the middle of a job: the job fails and can be resumed; no row is
# lost or doubled, as the ledger's marks are committed with the rows, in two phases.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyEngine;
use FastcopyGate;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

skip_without('citus');

my $conf = engine_conf('citus') . "citus.shard_count = 4\nlisten_addresses = 'localhost'\nmax_connections = 60\nautovacuum = off\n";
my ($source, $target) = start_pair(target_conf => $conf);
my $node = PostgreSQL::Test::Cluster->new('node');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', $conf);
$node->start;
my $conninfo = conninfo($source);
my ($host, $port, $node_host, $node_port) = map { ($_->host, $_->port) } $target, $node;
$_->safe_psql('postgres', 'CREATE EXTENSION citus') for $target, $node;
$target->safe_psql('postgres', qq(
	SET client_min_messages = error;
	SELECT citus_set_coordinator_host('$host', $port);
	SELECT citus_set_node_property('$host', $port, 'shouldhaveshards', true);
	SELECT citus_add_node('$node_host', $node_port);
	CREATE TABLE items (id bigint, name text);
	SELECT create_distributed_table('items', 'id')));
$source->safe_psql('postgres', q(
	CREATE TABLE items (id bigint, name text);
	INSERT INTO items SELECT g, 'name ' || g FROM generate_series(1, 30000) g));
my $expected = table_digest($source, 'items');
is($target->safe_psql('postgres', q(SELECT count(DISTINCT nodeport), count(*) FROM citus_shards)), '2|4', 'both nodes have shards');

# Waits until all transactions have ended, prepared ones too.
sub recover
{
	$target->poll_query_until('postgres', 'SELECT recover_prepared_transactions() >= 0');
	return;
}

# The number of rows matches the chunks that are marked done.
sub ledger_is_right
{
	my ($job) = @_;
	return $target->safe_psql('postgres',
		"SELECT (SELECT coalesce(sum(rows), 0) FROM fastcopy.chunks WHERE job = $job AND state = 'done') = (SELECT count(*) FROM items)");
}

# The node is stopped in the middle of a chunk, and stays down.
my $gate = $source->background_psql('postgres');
hold_gate($gate);
my $job = $target->safe_psql('postgres', qq(SET fastcopy.chunk_size = 128; SET fastcopy.retry_limit = 1; SET fastcopy.retry_delay = '10ms';
	SELECT fastcopy.start('$conninfo', 'items', 'items', 1, filter => 'id <> 15000 OR pg_advisory_xact_lock_shared(1) IS NOT NULL')));
await_lock($source);
$node->stop('immediate');
open_gate($gate);
$gate->quit;
wait_state($target, $job, 'failed');
my ($done, $error) = split /\|/, $target->safe_psql('postgres', "SELECT chunks_done > 2, error FROM fastcopy.status WHERE job = $job");
like($error, qr/connection/, 'the job fails with the error of the cluster');
is($done, 't', 'chunks that were done before stay');
$node->start;
recover();
is(ledger_is_right($job), 't', 'the number of rows is the ledger\'s');
$target->safe_psql('postgres', "SELECT fastcopy.resume($job)");
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'with the node back, the job is resumed');
is(table_digest($target, 'items'), $expected, 'each row is stored once');

# The node is stopped repeatedly, each time after some chunks, and restarted.
$job = $target->safe_psql('postgres', qq(SET fastcopy.chunk_size = 32; SET fastcopy.retry_limit = 0;
	SELECT fastcopy.start('$conninfo', 'items', 'items', 3, truncate => true)));
my $deaths = 0;
my @right;
for my $share (1 .. 3)
{
	defined seconds_until(sub { $target->safe_psql('postgres', "SELECT state <> 'copying' OR chunks_done > chunks * $share / 5 FROM fastcopy.status WHERE job = $job") eq 't' })
	  or die "the job does not go on\n";
	$node->stop('immediate');
	$deaths++ if wait_state($target, $job, 'failed|done') eq 'failed';
	$node->start;
	recover();
	push @right, ledger_is_right($job);
	$target->safe_psql('postgres', "SET fastcopy.retry_limit = 0; SELECT fastcopy.resume($job)")
	  if $target->safe_psql('postgres', "SELECT state FROM fastcopy.status WHERE job = $job") eq 'failed';
}
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'resumed as often as it has failed');
cmp_ok($deaths, '>=', 1, 'the node has died in the middle');
is("@right", 't t t', 'each time, as many rows were there as the ledger said');
recover();
is(table_digest($target, 'items'), $expected, 'each row is stored once');

# Workers are terminated while Citus connects to the node, which does not answer. From PostgreSQL 17 on, Citus 14 may have an
# error of its own on the way out: the job retries as after any other termination.
$gate = $source->background_psql('postgres');
hold_gate($gate);
$job = $target->safe_psql('postgres', qq(SET fastcopy.chunk_size = '64kB'; SET fastcopy.retry_limit = 5; SET fastcopy.retry_delay = '10ms';
	SELECT fastcopy.start('$conninfo', 'items', 'items', 6, truncate => true, filter => 'pg_advisory_xact_lock_shared(1) IS NOT NULL')));
wait_at_gate($source, 6) or die 'not all workers came to the gate';
my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
kill STOP => $postmaster;
open_gate($gate);
$gate->quit;
my $waits = "FROM fastcopy.workers w JOIN pg_stat_activity a USING (pid) WHERE job = $job AND wait_event = 'ClientRead'";
my $connecting = $target->poll_query_until('postgres', "SELECT count(*) = 6 $waits");
my $terminated = $target->safe_psql('postgres', "SELECT bool_and(pg_terminate_backend(pid, 10000)) $waits");
kill CONT => $postmaster;
is("$connecting $terminated", '1 t', 'workers that wait for the node are terminated');
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', '... and their chunks retried');
note 'Citus has released a set of events twice' if slurp_file($target->logfile) =~ /WaitEventSet 0x[0-9a-f]+ is not owned/;
recover();
is(table_digest($target, 'items'), $expected, 'each row is stored once');
$node->stop('fast');

done_testing();
