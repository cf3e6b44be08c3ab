# A table distributed by Citus and its dependent objects: TRUNCATE and foreign keys when the job fires no triggers,
# sequences, statistics, a role with the least privileges, several sources into one table, from cluster to cluster.
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

sub copy_into
{
	my ($from, $to, @more) = @_;
	return $target->safe_psql('postgres', 'SET fastcopy.chunk_size = 128; SELECT fastcopy.copy(' . join(', ', "'$conninfo', '$from', '$to', 3", @more) . ')');
}

$source->safe_psql('postgres', q(
	CREATE TABLE plain (id bigint PRIMARY KEY, kind int NOT NULL, s text);
	INSERT INTO plain SELECT g, g % 10, md5(g::text) FROM generate_series(1, 20000) g));
$target->safe_psql('postgres', q(
	SET client_min_messages = error;
	CREATE TABLE kinds (id int PRIMARY KEY);
	SELECT create_reference_table('kinds');
	INSERT INTO kinds SELECT generate_series(0, 9);
	CREATE TABLE d (id bigserial PRIMARY KEY, kind int NOT NULL REFERENCES kinds, s text);
	SELECT create_distributed_table('d', 'id');
	CREATE TABLE c (id bigint PRIMARY KEY REFERENCES d, kind int NOT NULL, s text);
	SELECT create_distributed_table('c', 'id', colocate_with => 'd');
	CREATE TABLE r (id bigint, kind int, s text);
	SELECT create_reference_table('r');
	CREATE TABLE l (id bigint, kind int, s text);
	SELECT citus_add_local_table_to_metadata('l');
	INSERT INTO d SELECT -g, 1, 'old' FROM generate_series(1, 100) g;
	INSERT INTO r TABLE d;
	INSERT INTO l TABLE d));
my $all = '(SELECT id, kind, s FROM %s)';
my $expected = table_digest($source, 'plain');

# A trigger truncates the shards.
for my $to (qw(r l))
{
	is(copy_into('plain', $to, 'truncate => true, triggers => false'), '20000', "into $to, emptied, without triggers");
	is(table_digest($target, sprintf $all, $to), $expected, 'there is nothing else in it');
}
$target->safe_psql('postgres', 'SET client_min_messages = error; DROP TABLE c');
is(copy_into('plain', 'd', 'truncate => true, triggers => false'), '20000', 'into d, emptied, without triggers');
is(table_digest($target, sprintf $all, 'd'), $expected, 'there is nothing else in it');
is($target->safe_psql('postgres', q(SELECT state, count(*) FROM fastcopy.foreign_keys GROUP BY 1)), 'checked|1', 'its foreign key was checked');
is($target->safe_psql('postgres', q(INSERT INTO d (kind) VALUES (1) RETURNING id)), '20001', 'its sequence was moved on');
my $on_shards = q(SELECT count(*) > 0 FROM pg_stats WHERE tablename ~ '^d_\d+$' AND attname = 'kind');
is($target->safe_psql('postgres', "SET citus.show_shards_for_app_name_prefixes = '*'; SET citus.override_table_visibility = off; $on_shards"), 't', 'its shards were analyzed');

# Orphans.
$target->safe_psql('postgres', 'TRUNCATE d');
$target->safe_psql('postgres', 'DELETE FROM kinds WHERE id = 7');
for my $triggers (qw(true false))
{
	fails_with($target, "SELECT fastcopy.copy('$conninfo', 'plain', 'd', 2, truncate => true, triggers => $triggers)", '23503',
		qr/violates foreign key constraint/, "an orphan, triggers => $triggers");
}
$target->safe_psql('postgres', 'INSERT INTO kinds VALUES (7)');

# The foreign key of a colocated table.
$target->safe_psql('postgres', q(
	SET client_min_messages = error;
	TRUNCATE d;
	CREATE TABLE c (id bigint PRIMARY KEY REFERENCES d, kind int NOT NULL, s text);
	SELECT create_distributed_table('c', 'id', colocate_with => 'd')));
fails_with($target, "SELECT fastcopy.copy('$conninfo', 'plain', 'c', 2)", '23503', qr/violates foreign key constraint/, 'rows before those they refer to');
is(copy_into('plain', 'd'), '20000', 'in the right order');
is(copy_into('plain', 'c'), '20000', 'they arrive');
is(table_digest($target, sprintf $all, 'c'), $expected, 'each row is stored once');

# A role with the least privileges.
my $user = $source->safe_psql('postgres', 'SELECT current_user');
my ($host, $port) = ($source->host, $source->port);
$target->safe_psql('postgres', qq(
	SET client_min_messages = error;
	CREATE TABLE p (id bigint, kind int, s text);
	SELECT create_distributed_table('p', 'id');
	CREATE ROLE pupil LOGIN;
	GRANT INSERT ON p TO pupil;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO pupil;
	CREATE SERVER there FOREIGN DATA WRAPPER pg_fastcopy OPTIONS (host '$host', port '$port', dbname 'postgres');
	GRANT USAGE ON FOREIGN SERVER there TO pupil;
	CREATE USER MAPPING FOR pupil SERVER there OPTIONS (user '$user', password_required 'false')));
my ($status, $stdout, $stderr) = run_verbose($target, "SELECT fastcopy.copy('there', 'plain', 'p', 2)", user => 'pupil');
is($stdout, '20000', 'a role that may only insert') or diag $stderr;
is(table_digest($target, 'p'), $expected, 'all rows are stored');
$target->safe_psql('postgres', 'GRANT TRUNCATE ON p TO pupil');
($status, $stdout, $stderr) = run_verbose($target, "SELECT fastcopy.copy('there', 'plain', 'p', 2, truncate => true)", user => 'pupil');
is($stdout, '20000', 'a role that may only insert and truncate') or diag $stderr;
is(table_digest($target, 'p'), $expected, 'all rows are stored once');

# Several sources into one table at the same time; each has its tenant in a view or in a column.
$source->safe_psql('postgres', q(
	CREATE VIEW plain_of_1 AS SELECT 1::bigint AS tenant, p.* FROM plain p;
	CREATE TABLE plain_of_2 (LIKE plain);
	INSERT INTO plain_of_2 TABLE plain;
	ALTER TABLE plain_of_2 ADD tenant bigint NOT NULL DEFAULT 2));
$target->safe_psql('postgres', q(
	SET client_min_messages = error;
	CREATE TABLE tenants (tenant bigint, id bigint, kind int, s text, PRIMARY KEY (tenant, id));
	SELECT create_distributed_table('tenants', 'tenant')));
my @jobs = map { $target->safe_psql('postgres', "SET fastcopy.chunk_size = 128; SELECT fastcopy.start('$conninfo', 'plain_of_$_', 'tenants', 2)") } 1, 2;
is($target->safe_psql('postgres', "SELECT fastcopy.wait($_)"), 'done', "job $_ is done") for @jobs;
for my $tenant (1, 2)
{
	is(table_digest($target, "(SELECT id, kind, s FROM tenants WHERE tenant = $tenant)"), $expected, "all rows of source $tenant are there");
}

# From cluster to cluster; without a key there is one chunk, whose progress is measured by size.
$source->safe_psql('postgres', q(
	SET client_min_messages = error;
	CREATE TABLE d (id bigint, kind int, s text);
	SELECT create_distributed_table('d', 'id');
	INSERT INTO d TABLE plain));
is(copy_into('d', 'p', 'truncate => true'), '20000', 'from cluster to cluster');
is(table_digest($target, 'p'), $expected, 'all rows are stored');
is(compare_total('d', 'p'), '20000|20000|f', 'the comparison agrees');
my $gate = $target->background_psql('postgres');
hold_gate($gate);
$target->safe_psql('postgres', q(
	CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.id = 1 THEN PERFORM pg_advisory_xact_lock_shared(1); END IF; RETURN NEW; END';
	CREATE TABLE held (id bigint, kind int, s text);
	CREATE TRIGGER hold AFTER INSERT ON held FOR EACH ROW EXECUTE FUNCTION hold()));
my $job = $target->safe_psql('postgres', "SELECT fastcopy.start('$conninfo', 'd', 'held', 1)");
await_lock($target);
is($target->safe_psql('postgres', "SELECT percent BETWEEN 1 AND 99, eta IS NOT NULL, chunks, warning LIKE '%snapshot%' FROM fastcopy.status WHERE job = $job"),
	't|t|1|t', 'percent, ETA and warning while it runs');
open_gate($gate);
$gate->quit;
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'it continues');
is($target->safe_psql('postgres', "SELECT percent, warning LIKE '%snapshot%' FROM fastcopy.status WHERE job = $job"), '100.0|t', 'and keeps the warning');

# A cancelled job leaves no prepared transaction.
$gate = $source->background_psql('postgres');
hold_gate($gate);
$job = $target->safe_psql('postgres', qq(SET fastcopy.chunk_size = 128;
	SELECT fastcopy.start('$conninfo', 'plain', 'p', 3, truncate => true, filter => 'id <> 15000 OR pg_advisory_xact_lock_shared(1) IS NOT NULL')));
await_lock($source);
is($target->safe_psql('postgres', "SELECT fastcopy.set_workers($job, 1)"), '3', 'fewer workers');
$target->safe_psql('postgres', "SELECT fastcopy.cancel($job)");
wait_state($target, $job, 'cancelled');
open_gate($gate);
$gate->quit;
$target->poll_query_until('postgres', 'SELECT recover_prepared_transactions() >= 0 AND NOT EXISTS (SELECT FROM pg_prepared_xacts)');
is($target->safe_psql('postgres', "SELECT (SELECT coalesce(sum(rows), 0) FROM fastcopy.chunks WHERE job = $job AND state = 'done') = (SELECT count(*) FROM p)"), 't',
	'the number of rows is the ledger\'s');
$target->safe_psql('postgres', "SELECT fastcopy.resume($job)");
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'the job is resumed');
is(table_digest($target, 'p'), $expected, 'each row is stored once');

done_testing();
