# A source table WITH OIDS, which servers up to version 11 have, and where its oid goes.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyOldServer;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $why_not) = FastcopyOldServer->start(11);
plan skip_all => "there is no server of version 11: $why_not" unless $source;

my $target = PostgreSQL::Test::Cluster->new('target');
$target->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$target->append_conf('postgresql.conf', "max_worker_processes = 24\nautovacuum = off\n");
$target->start;
$target->safe_psql('postgres', 'CREATE EXTENSION pg_fastcopy');
my $conninfo = conninfo($source);

$source->safe_psql('postgres', q(
	CREATE TABLE noted (t text) WITH OIDS;
	INSERT INTO noted SELECT 'row ' || g || repeat('x', 100) FROM generate_series(1, 2000) g;
	CREATE UNIQUE INDEX ON noted (oid);
	CREATE TABLE noted_child (more integer) INHERITS (noted) WITH OIDS;
	INSERT INTO noted_child SELECT 'child', g FROM generate_series(1, 10) g;
	CREATE UNIQUE INDEX ON noted_child (oid);
	CREATE TABLE plain (t text);
	INSERT INTO plain VALUES ('a');
	ANALYZE));
my $digest = q(SELECT count(*) || ' ' || sum(hashtext(oid || ' ' || t)) FROM );
my $rows   = $source->safe_psql('postgres', "$digest noted");

# Copies into a new table with these columns; returns the digest of it.
my $count = 0;
sub copy_into
{
	my ($columns, %args) = @_;
	my $name = 'target_' . ++$count;
	$target->safe_psql('postgres', "CREATE TABLE $name ($columns)");
	$target->safe_psql('postgres', 'SET fastcopy.chunk_size = 8; SELECT '
		  . call_sql('copy', $source, source_table => 'noted', target_table => $name, workers => 3, %args));
	return $target->safe_psql('postgres', "$digest $name");
}

is(copy_into('oid oid, t text'), $rows, 'the oid goes into a column of that name');
is(copy_into('t text, oid bigint PRIMARY KEY'), $rows, 'of another type, too');
is(copy_into("oid oid DEFAULT 7, t text", columns => \q('{oid,t}')), $rows, 'if asked for');
is(copy_into('oid oid, t text', key => 'oid'), $rows, 'as a key');
is($target->safe_psql('postgres', "SELECT count(*) > 0 FROM fastcopy.chunks WHERE kind = 'range' AND job = (SELECT max(job) FROM fastcopy.status)"),
	't', 'by which the table is split');
is($target->safe_psql('postgres', "SELECT differs FROM fastcopy.compare('$conninfo', 'noted', 'target_1') WHERE range = 'total'"), 'f', 'compare reads it');
$target->safe_psql('postgres', 'UPDATE target_1 SET oid = 0 WHERE t LIKE \'row 77x%\'');
is($target->safe_psql('postgres', "SELECT differs FROM fastcopy.compare('$conninfo', 'noted', 'target_1') WHERE range = 'total'"), 't', 'and compares it');
$target->safe_psql('postgres', 'CREATE TABLE without (t text)');
is($target->safe_psql('postgres', 'SELECT ' . call_sql('copy', $source, source_table => 'noted', target_table => 'without')),
	2010, 'without a column for it, it is left out');
fails_with($target, 'SELECT ' . call_sql('copy', $source, source_table => 'noted', target_table => 'without', columns => \q('{oid,t}')),
	'42703', qr/column "oid" .* does not exist in target table/, 'unless asked for');
$target->safe_psql('postgres', 'CREATE TABLE with_default (oid integer DEFAULT 7, t text)');
is($target->safe_psql('postgres', 'SELECT ' . call_sql('copy', $source, source_table => 'plain', target_table => 'with_default')
		  . '; SELECT oid FROM with_default'), "1\n7", 'a source table without them has none');
fails_with($target, 'SELECT ' . call_sql('copy', $source, source_table => 'plain', target_table => 'with_default', columns => \q('{oid,t}')),
	'42703', qr/column "oid" of source table "plain" does not exist/, 'even if asked for');

done_testing();
