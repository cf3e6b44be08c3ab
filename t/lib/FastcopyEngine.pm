# Tests with engines that store tables themselves: TimescaleDB and Citus. A test is skipped if its engine is not in
# the PostgreSQL installation; install_engines in scripts/lib.sh installs them.
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
	# Engines are not built for sanitizers and valgrind; other files cover our code.
	plan skip_all => "not under $ENV{FASTCOPY_TEST_UNDER}" if $ENV{FASTCOPY_TEST_UNDER};
	plan skip_all => "extension $engine is not installed" unless -e "$sharedir/extension/$engine.control";
	return;
}

# Lines for postgresql.conf of a server that loads the engine, without its background work.
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

# The number of shared memory segments that the engine keeps on that server: one for TimescaleDB from 2.29 on, the
# version for PostgreSQL 16 and later.
sub engine_segments
{
	my ($engine, $node) = @_;
	return $engine eq 'timescaledb' && $node->safe_psql('postgres', 'SHOW server_version_num') >= 160000 ? 1 : 0;
}

1;
