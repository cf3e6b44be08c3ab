# fastcopy.clone with definitions => 'create' of many relations: a table with many partitions, and many empty tables. The
# time and the memory of each process are reported. If PG_TEST_EXTRA contains the word large, there are 2000 partitions
# and 5000 tables, for a minute or two.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyDump;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $large = ($ENV{PG_TEST_EXTRA} // '') =~ /\blarge\b/;
# All is created in one transaction, with a lock for each relation.
my ($source, $target) = start_pair(source_conf => "max_locks_per_transaction = 512\n", target_conf => "max_locks_per_transaction = 512\n");

# Private memory of a process, in kB.
sub private_kb
{
	my ($pid) = @_;
	open my $file, '<', "/proc/$pid/status" or return 0;
	return (map { /^RssAnon:\s+(\d+)/ } readline $file)[0] // 0;
}

# Clones a database into an empty one; returns the job, the seconds, and the most private memory in MB that the
# coordinator and a worker had.
sub clone
{
	my ($name) = @_;
	$target->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE template0");
	$target->safe_psql($name,      'CREATE EXTENSION pg_fastcopy');
	my $conninfo = conninfo($source, dbname => $name);
	my $caller   = $target->background_psql($name);
	my $begin    = time;
	$caller->{stdin} .= "SELECT fastcopy.wait(fastcopy.clone('$conninfo', workers => 2, definitions => 'create'));\n\\echo finished\n";
	my %most = (coordinator => 0, worker => 0);
	my $session = FastcopySession->connect(path => $target->host . '/.s.PGSQL.' . $target->port, dbname => $name, user => scalar getpwuid($<));
	while ($caller->{stdout} !~ /^finished/m && time - $begin < $PostgreSQL::Test::Utils::timeout_default)
	{
		$caller->{run}->pump_nb;
		my $rows = $session->query(q(SELECT pid, substr(backend_type, 10) FROM pg_stat_activity WHERE backend_type ~ '^fastcopy (coordinator|worker)'));
		for (@$rows)
		{
			my $now = private_kb($_->[0]);
			$most{ $_->[1] } = $now if exists $most{ $_->[1] } && $now > $most{ $_->[1] };
		}
		usleep(20_000);
	}
	my $seconds = time - $begin;
	$session->close;
	my ($state) = $caller->{stdout} =~ /^(\w+)\nfinished/m;
	is($state, 'done', "$name: cloned") or diag $caller->{stderr};
	$caller->quit;
	return ($target->safe_psql($name, 'SELECT max(job) FROM fastcopy.job'), $seconds, map { $_ / 1024 } @most{qw(coordinator worker)});
}

sub report
{
	my ($what, $seconds, $coordinator, $worker) = @_;
	note sprintf '%s: %.1f s, coordinator %.1f MB, worker %.1f MB', $what, $seconds, $coordinator, $worker;
	return;
}

sub definitions_are_the_same
{
	my ($name) = @_;
	$target->safe_psql($name, 'DROP EXTENSION pg_fastcopy CASCADE');
	is(differing_definitions(conninfo($source, dbname => $name), conninfo($target, dbname => $name)), '', '... with the same definitions');
	return;
}

# Partitions with an index and a key that refers to another table.
my $partitions = $large ? 2000 : 200;
$source->safe_psql('postgres', 'CREATE DATABASE partitions TEMPLATE template0');
$source->safe_psql('partitions', 'CREATE TABLE kinds (kind integer PRIMARY KEY)');
$source->safe_psql('partitions', 'INSERT INTO kinds SELECT generate_series(0, 9)');
$source->safe_psql('partitions', 'CREATE TABLE parts (id bigint, kind integer REFERENCES kinds, what text, PRIMARY KEY (id)) PARTITION BY RANGE (id)');
$source->safe_psql('partitions', "DO 'BEGIN FOR i IN 0 .. $partitions - 1 LOOP
	EXECUTE format(''CREATE TABLE parts_%s PARTITION OF parts FOR VALUES FROM (%s) TO (%s)'', i, 20 * i, 20 * (i + 1)); END LOOP; END'");
$source->safe_psql('partitions', "INSERT INTO parts SELECT g, g % 10, 'row ' || g FROM generate_series(0, 20 * $partitions - 1) g");
my ($job, @cost) = clone('partitions');
report("$partitions partitions", @cost);
is($target->safe_psql('partitions', "SELECT tables, rows_copied FROM fastcopy.status WHERE job = $job"), '2|' . (20 * $partitions + 10), '... of two tables');
is(table_digest($target, 'parts', 'partitions'), table_digest($source, 'parts', 'partitions'), '... with all rows');
is($target->safe_psql('partitions', q(SELECT count(*), bool_and(convalidated) FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text ~ '^parts')),
	($partitions + 1) . '|t', '... and valid foreign keys');
definitions_are_the_same('partitions');

my $tables = $large ? 5000 : 500;
$source->safe_psql('postgres', 'CREATE DATABASE empty_tables TEMPLATE template0');
for my $from (map { 500 * $_ } 0 .. $tables / 500 - 1)
{
	$source->safe_psql('empty_tables', "DO 'BEGIN FOR i IN $from .. $from + 499 LOOP
		EXECUTE format(''CREATE TABLE t_%s (id integer PRIMARY KEY, what text DEFAULT ''''x'''')'', i); END LOOP; END'");
}
($job, @cost) = clone('empty_tables');
report("$tables empty tables", @cost);
is($target->safe_psql('empty_tables', "SELECT tables, rows_copied FROM fastcopy.status WHERE job = $job"), "$tables|0", '... each of them');
is($target->safe_psql('empty_tables', "SELECT count(*) FROM fastcopy.tables WHERE job = $job AND state = 'done'"), $tables, '... done');
definitions_are_the_same('empty_tables');

no_leftovers($source, $target, 'at the end');
done_testing();
