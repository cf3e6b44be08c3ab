# Tests with the engines that keep tables of their own: TimescaleDB and Citus. They are looked for in the PostgreSQL
# installation; a test of one that is not there is skipped. scripts/test says where they come from.
package FastcopyEngine;

use strict;
use warnings;

use Exporter 'import';
use File::Basename;
use IPC::Run ();
use Test::More;

our @EXPORT = qw(skip_without engine_conf engine_segments make_citus_node);

# Skips the whole file unless the extension is installed.
sub skip_without
{
	my ($engine) = @_;
	IPC::Run::run([ 'pg_config', '--sharedir' ], '>', \my $sharedir) or die "pg_config does not answer\n";
	chomp $sharedir;
	# Engines are not built for sanitizers and valgrind; what we do with them is in other files, too.
	plan skip_all => "not under $ENV{FASTCOPY_TEST_UNDER}" if $ENV{FASTCOPY_TEST_UNDER};
	plan skip_all => "extension $engine is not installed" unless -e "$sharedir/extension/$engine.control";
	return;
}

# Lines for postgresql.conf of a server that has the engine, and does nothing by itself.
sub engine_conf
{
	my ($engine) = @_;
	return "shared_preload_libraries = '$engine'\nmax_prepared_transactions = 30\n"
	  . ($engine eq 'citus'
		? "citus.enable_statistics_collection = off\n"
		: "timescaledb.telemetry_level = off\n");
}

# Makes a server the coordinator and only node of a Citus cluster of its own.
sub make_citus_node
{
	my ($node) = @_;
	my ($host, $port) = ($node->host, $node->port);
	$node->safe_psql('postgres', qq(
		CREATE EXTENSION citus;
		SET client_min_messages = error;
		SELECT citus_set_coordinator_host('$host', $port);
		SELECT citus_set_node_property('$host', $port, 'shouldhaveshards', true)));
	return;
}

# Segments of shared memory that the engine keeps for good on that server: TimescaleDB from 2.29 on, which is what there
# is from PostgreSQL 16 on.
sub engine_segments
{
	my ($engine, $node) = @_;
	return $engine eq 'timescaledb' && $node->safe_psql('postgres', 'SHOW server_version_num') >= 160000 ? 1 : 0;
}

1;
