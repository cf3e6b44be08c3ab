# Tables of Citus, on either side: distributed, reference, local in a cluster, partitioned, columnar. Nobody sees rows
# in the coordinator's own heap of such a table; nothing may be stored there.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyEngine;
use FastcopyGate;
use FastcopyTest;
use PostgreSQL::Test::Utils;
use Test::More;

skip_without('citus');

my $conf = engine_conf('citus') . "citus.shard_count = 4\nlisten_addresses = 'localhost'\n";
my ($source, $target) = start_pair(source_conf => $conf, target_conf => $conf);
my $conninfo = conninfo($source);
make_citus_node($_) for $source, $target;
on_both('CREATE EXTENSION citus_columnar');

# What lies where nobody sees it.
my $hidden = "SELECT pg_relation_size('%s')";

$source->safe_psql('postgres', q(
	CREATE TABLE plain (id bigint PRIMARY KEY, a int NOT NULL, at date NOT NULL, s text);
	INSERT INTO plain SELECT g, g % 100, date '2024-01-01' + (g % 60)::int, md5(g::text) FROM generate_series(1, 20000) g;
	CREATE TABLE kinds (id int PRIMARY KEY, s text);
	INSERT INTO kinds SELECT g, 'kind ' || g FROM generate_series(0, 99) g;));

# Into each kind of table.
$target->safe_psql('postgres', q(
	SET client_min_messages = error;
	CREATE TABLE kinds (id int PRIMARY KEY, s text);
	SELECT create_reference_table('kinds');
	CREATE TABLE d (id bigint PRIMARY KEY, a int NOT NULL REFERENCES kinds, at date NOT NULL, s text, twice int GENERATED ALWAYS AS (a * 2) STORED,
		came text DEFAULT 'by default');
	SELECT create_distributed_table('d', 'id');
	CREATE TABLE together (id bigint PRIMARY KEY REFERENCES d, a int NOT NULL, at date NOT NULL, s text);
	SELECT create_distributed_table('together', 'id', colocate_with => 'd');
	CREATE TABLE parts (id bigint, a int, at date, s text) PARTITION BY RANGE (at);
	CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
	CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM ('2024-02-01') TO ('2024-04-01');
	SELECT create_distributed_table('parts', 'id');
	CREATE TABLE local (id bigint, a int, at date, s text);
	SELECT citus_add_local_table_to_metadata('local');
	CREATE TABLE columns (id bigint, a int, at date, s text) USING columnar;
	CREATE TABLE plain (LIKE local);));
my $all = '(SELECT id, a, at, s FROM %s)';
my %reported;
for my $case ([ 'kinds', 'kinds', 'insert' ], [ 'plain', 'd', 'insert' ], [ 'plain', 'together', 'insert' ], [ 'plain', 'parts', 'insert' ],
	[ 'plain', 'local', 'insert' ], [ 'plain', 'columns', 'copy' ])
{
	my ($from, $to, $writer) = @$case;
	my $what = $from eq 'kinds' ? '(SELECT * FROM %s)' : $all;
	my ($rows) = split ' ', table_digest($source, $from);
	is($target->safe_psql('postgres', "SET fastcopy.chunk_size = 128; SELECT fastcopy.copy('$conninfo', '$from', '$to', 3)"), $rows, "into $to");
	is(table_digest($target, sprintf $what, $to), table_digest($source, sprintf $what, $from), '... all rows are stored');
	is($target->safe_psql('postgres', sprintf $hidden, $to), 0, '... and none in the coordinator\'s heap') if $writer eq 'insert';
	is($target->safe_psql('postgres', 'SELECT reader, writer FROM fastcopy.status ORDER BY job DESC LIMIT 1'), "leaves|$writer", "... by $writer");
	is(compare_total($from, $to), "$rows|$rows|f", '... and the comparison sees them');
}
is($target->safe_psql('postgres', q(SELECT count(*) FROM d WHERE twice = a * 2 AND came = 'by default')), '20000', 'generated columns and defaults');
fails_with($target, "SELECT fastcopy.copy('$conninfo', 'plain', 'd', 2, indexes => 'rebuild')", '0A000',
	qr/cannot rebuild the indexes of "public.d"/, 'indexes of a distributed table are not set aside', detail => qr/Citus/);
fails_with($target, "SELECT fastcopy.copy('$conninfo', 'plain', 'd', 2)", '23505', qr/duplicate key value/, 'an error of a shard');
$target->safe_psql('postgres', q(DELETE FROM together WHERE id % 1000 = 0));
is(compare_total('plain', 'together'), '20000|19980|t', 'a difference in shards is seen');
is($target->safe_psql('postgres', "SET client_min_messages = error; DROP TABLE together; SELECT fastcopy.copy('$conninfo', 'plain', 'd', 2, truncate => true)"), 20000,
	'truncate empties shards');

# The same tables as sources.
$source->safe_psql('postgres', q(
	SET client_min_messages = error;
	SELECT create_reference_table('kinds');
	CREATE TABLE d (LIKE plain INCLUDING ALL);
	SELECT create_distributed_table('d', 'id');
	INSERT INTO d TABLE plain;
	CREATE TABLE local (LIKE plain INCLUDING ALL);
	SELECT citus_add_local_table_to_metadata('local');
	INSERT INTO local TABLE plain;
	CREATE TABLE parts (LIKE plain) PARTITION BY RANGE (at);
	CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
	CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM ('2024-02-01') TO ('2024-04-01');
	SELECT create_distributed_table('parts', 'id');
	INSERT INTO parts TABLE plain;
	CREATE TABLE columns (LIKE plain) USING columnar;
	INSERT INTO columns TABLE plain;
	CREATE TABLE elder (LIKE plain) USING columnar;
	INSERT INTO elder TABLE plain;
	CREATE TABLE younger () INHERITS (elder) USING heap;
	INSERT INTO younger SELECT id + 100000, a, at, s FROM plain;
	CREATE VIEW v AS SELECT * FROM d WHERE a < 50;));
for my $case ([ 'd', 'table', 't' ], [ 'local', 'table', 't' ], [ 'parts', 'table', 't' ], [ 'columns', 'leaves', 'f' ],
	[ 'elder', 'table', 'f' ], [ 'v', 'table', 't' ])
{
	my ($from, $reader, $warned) = @$case;
	my $expected = table_digest($source, sprintf $all, $from);
	my ($rows) = split ' ', $expected;
	my ($status, $stdout, $stderr) =
	  run_verbose($target, "SET fastcopy.chunk_size = 128; SELECT fastcopy.copy('$conninfo', '$from', 'plain', 3, truncate => true)");
	is($stdout, $rows, "from $from") or diag $stderr;
	is(table_digest($target, sprintf $all, 'plain'), $expected, '... all rows are stored');
	is($target->safe_psql('postgres', 'SELECT reader, warning IS NOT NULL FROM fastcopy.status ORDER BY job DESC LIMIT 1'), "$reader|$warned", "... by $reader");
	is($stderr =~ /WARNING:.*no snapshot in common/ ? 't' : 'f', $warned, '... with or without a warning');
	is(compare_total($from, 'plain'), "$rows|$rows|f", '... and the comparison agrees');
}
$target->safe_psql('postgres', q(CREATE TABLE these (id int, s text)));
is($target->safe_psql('postgres', "SET client_min_messages = error; SELECT fastcopy.copy('$conninfo', 'kinds', 'these')"), 100, 'from a reference table');
is(table_digest($target, 'these'), table_digest($source, '(SELECT * FROM kinds)'), '... all rows are stored');
is(compare_total('kinds', 'these'), '100|100|f', '... and the comparison agrees');
is($target->safe_psql('postgres', q(SELECT kind, count(*) > 4 FROM fastcopy.chunks
	WHERE job = (SELECT min(job) FROM fastcopy.job_table WHERE source_table = 'd') GROUP BY 1)), 'range|t', 'a distributed table is read in ranges of its key');

# The table is distributed while a job runs: each chunk checks again how to write.
$target->safe_psql('postgres', 'DROP TABLE plain; CREATE TABLE plain (id bigint, a int, at date, s text)');
my $gate = $source->background_psql('postgres');
hold_gate($gate);
my $job = $target->safe_psql('postgres', qq(SET fastcopy.chunk_size = 128;
	SELECT fastcopy.start('$conninfo', 'plain', 'plain', 1, filter => 'id <> 5000 OR pg_advisory_xact_lock_shared(1) IS NOT NULL')));
await_lock($source, 'advisory');
my $distributor = $target->background_psql('postgres');
$distributor->query_until(qr//, "SELECT create_distributed_table('plain', 'id');\n");
await_lock($target, 'relation');
open_gate($gate);
$gate->quit;
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'the table was distributed while a job ran');
quit_quietly($distributor);
is($target->safe_psql('postgres', q(SELECT count(*) FROM pg_dist_partition WHERE logicalrelid = 'plain'::regclass)), 1, 'the table is distributed');
is(table_digest($target, sprintf $all, 'plain'), table_digest($source, sprintf $all, 'plain'), 'each row is stored once');

# The server crashes in the middle of a chunk, held at a row that waits in a shard.
$target->safe_psql('postgres', q(
	SET client_min_messages = error;
	DROP TABLE IF EXISTS held;
	CREATE FUNCTION hold(bigint) RETURNS boolean LANGUAGE plpgsql AS
		'BEGIN IF $1 = 9000 THEN PERFORM pg_advisory_xact_lock_shared(1); END IF; RETURN true; END';
	SELECT create_distributed_function('hold(bigint)');
	CREATE TABLE held (id bigint CHECK (hold(id)), a int, at date, s text);
	SELECT create_distributed_table('held', 'id')));
sub start_held
{
	my $session = $target->background_psql('postgres');
	hold_gate($session);
	my $started = $target->safe_psql('postgres', "SET fastcopy.chunk_size = 128; SELECT fastcopy.start('$conninfo', 'plain', 'held', 2, truncate => true)");
	await_lock($target, 'advisory');
	return ($started, $session);
}
($job, $gate) = start_held();
$target->safe_psql('postgres', q(SELECT pg_terminate_backend(pid) FROM fastcopy.workers));
open_gate($gate);
$gate->quit;
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'workers were terminated in a batch, and replaced');
is(table_digest($target, sprintf $all, 'held'), table_digest($source, sprintf $all, 'plain'), 'each row is stored once');

($job, $gate) = start_held();
$target->stop('immediate');
wait_exit($gate);
$target->start;
$target->safe_psql('postgres', 'SELECT recover_prepared_transactions()');
is($target->safe_psql('postgres', "SELECT state FROM fastcopy.status WHERE job = $job"), 'interrupted', 'the server has crashed in a batch');
is($target->safe_psql('postgres', "SELECT coalesce(sum(rows), 0) = (SELECT count(*) FROM held) FROM fastcopy.chunks WHERE job = $job AND state = 'done'"), 't',
	'the number of rows is the ledger\'s');
$target->safe_psql('postgres', "SELECT fastcopy.resume($job)");
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'the job is resumed');
is(table_digest($target, sprintf $all, 'held'), table_digest($source, sprintf $all, 'plain'), 'each row is stored once');

done_testing();
