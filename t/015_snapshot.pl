# The copy of a table under writes is the table at one instant.
#
# Three writers keep the source busy for as long as this file runs: money moves from account to account, pairs of rows
# that add up to zero come and go, and rows move between partitions. Each of their transactions keeps an invariant. So
# the invariant holds at every instant, and a copy whose chunks saw different instants breaks it sooner or later.
# VACUUM works against the copies too, on rows that only they still see.
#
# The test also asserts that the writers have written during the copies: the copy of an idle table is always
# consistent.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $copies = $slowness == 1 ? 8 : 1;

my ($source, $target) = start_pair();

my $tables = q(
	CREATE TABLE accounts (id integer PRIMARY KEY, balance bigint NOT NULL, note text);
	CREATE TABLE pairs (pair integer NOT NULL, x integer NOT NULL, filler text);
	CREATE TABLE places (id integer NOT NULL, place integer NOT NULL, filler text) PARTITION BY LIST (place);
	CREATE TABLE places_0 PARTITION OF places FOR VALUES IN (0);
	CREATE TABLE places_1 PARTITION OF places FOR VALUES IN (1);
	CREATE TABLE places_2 PARTITION OF places FOR VALUES IN (2);
	CREATE INDEX ON pairs (pair);
	CREATE INDEX ON places (id));
$_->safe_psql('postgres', $tables) for $source, $target;

$source->safe_psql(
	'postgres', q(
	CREATE TABLE stop ();
	CREATE SEQUENCE written;
	INSERT INTO accounts SELECT g, 0, repeat('n', 100) FROM generate_series(1, 4000) g;
	INSERT INTO pairs SELECT g, g, repeat('f', 100) FROM generate_series(1, 2000) g;
	INSERT INTO pairs SELECT g, -g, repeat('f', 100) FROM generate_series(1, 2000) g;
	INSERT INTO places SELECT g, g % 3, repeat('p', 100) FROM generate_series(1, 3000) g;
	ANALYZE;

	-- Each loop is many transactions; a row in table stop ends it.
	CREATE PROCEDURE transfer() LANGUAGE plpgsql AS $$
	DECLARE amount integer; payer integer; payee integer;
	BEGIN
		WHILE NOT EXISTS (SELECT FROM stop) LOOP
			amount := random() * 1000; payer := 1 + random() * 3999; payee := 1 + random() * 3999;
			UPDATE accounts SET balance = balance - amount WHERE id = payer;
			UPDATE accounts SET balance = balance + amount, note = repeat(chr(97 + amount % 26), amount / 10) WHERE id = payee;
			PERFORM nextval('written');
			COMMIT;
		END LOOP;
	END $$;
	CREATE PROCEDURE come_and_go() LANGUAGE plpgsql AS $$
	DECLARE n integer := 2000;
	BEGIN
		WHILE NOT EXISTS (SELECT FROM stop) LOOP
			n := n + 1;
			INSERT INTO pairs VALUES (n, n, repeat('f', n % 200));
			DELETE FROM pairs WHERE pair = n - 2000;
			INSERT INTO pairs VALUES (n, -n, repeat('f', n % 200));
			PERFORM nextval('written');
			COMMIT;
		END LOOP;
	END $$;
	CREATE PROCEDURE move() LANGUAGE plpgsql AS $$
	DECLARE mover integer;
	BEGIN
		WHILE NOT EXISTS (SELECT FROM stop) LOOP
			mover := 1 + random() * 2999;
			UPDATE places SET place = (place + 1) % 3 WHERE id = mover;
			PERFORM nextval('written');
			COMMIT;
		END LOOP;
	END $$));

my @writers;
for my $procedure (qw(transfer come_and_go move))
{
	my $writer = $source->background_psql('postgres', on_error_stop => 1);
	$writer->query_until(qr/writing/, "\\echo writing\nCALL $procedure();\n");
	push @writers, $writer;
}

sub written
{
	return $source->safe_psql('postgres', 'SELECT last_value FROM written');
}

my %invariants = (
	accounts => q(SELECT count(*) = 4000 AND count(DISTINCT id) = 4000 AND sum(balance) = 0 FROM accounts),
	pairs    => q(SELECT count(*) FILTER (WHERE n <> 2 OR s <> 0) = 0 AND count(*) > 100
		FROM (SELECT count(*) AS n, sum(x) AS s FROM pairs GROUP BY pair) p),
	places => q(SELECT count(*) = 3000 AND count(DISTINCT id) = 3000 FROM places));
my $conninfo = conninfo($source);

# If the invariants do not hold on the source, the test is wrong.
is($source->safe_psql('postgres', $invariants{$_}), 't', "the writers keep the invariant of $_")
  for sort keys %invariants;

my $during = 0;
for my $method ('blocks', 'key')
{
	for my $table (sort keys %invariants)
	{
		my $key =
		    $method eq 'blocks'  ? 'NULL'
		  : $table eq 'pairs'    ? q('pair')
		  :                        q('id');
		my @broken;
		for my $n (1 .. $copies)
		{
			my $before = written();
			my $job    = $target->safe_psql(
				'postgres', qq(
				SET fastcopy.chunk_size = 8;
				SELECT fastcopy.start('$conninfo', '$table', '$table', 4, key => $key, truncate => true)));
			$source->safe_psql('postgres', "VACUUM $table");
			my ($status, $state, $stderr) = run_verbose($target, "SELECT fastcopy.wait($job)");
			$during += written() - $before;
			push @broken, "copy $n ended as $state $stderr" if $state ne 'done';
			push @broken, "copy $n is not one instant"
			  if $target->safe_psql('postgres', $invariants{$table}) ne 't';
		}
		ok(!@broken, "$copies copies of $table by $method, while it is written") or diag join "\n", @broken;
	}
}
cmp_ok($during, '>', 100, 'the writers have written during the copies');
note "$during transactions during the copies";

# A view of two tables is read at one instant too.
$source->safe_psql(
	'postgres', q(
	CREATE VIEW both_tables AS SELECT id, balance, note FROM accounts
		UNION ALL SELECT -pair, x, filler FROM pairs));
$target->safe_psql('postgres', 'CREATE TABLE both_tables (id integer, balance bigint, note text)');
for my $n (1 .. 3)
{
	$target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 'both_tables', 'both_tables', 2, truncate => true)");
	is( $target->safe_psql('postgres',
			'SELECT sum(balance) = 0 AND count(*) FILTER (WHERE id > 0) = 4000 FROM both_tables'),
		't', "copy $n of a view of two tables that are written");
}

# Rows written after start() has returned are not copied, however late the workers begin. The workers wait in the
# filter until the test releases its lock.
$source->safe_psql('postgres', q(INSERT INTO stop DEFAULT VALUES));
$_->quit for @writers;
is($source->safe_psql('postgres', $invariants{$_}), 't', "in the end, the invariant of $_ holds")
  for sort keys %invariants;
$source->safe_psql(
	'postgres', q(
	CREATE FUNCTION hold(integer) RETURNS boolean LANGUAGE sql VOLATILE AS
		'SELECT pg_advisory_xact_lock_shared(4711) IS NOT NULL';
	CREATE TABLE instant (id integer PRIMARY KEY, filler text);
	INSERT INTO instant SELECT g, repeat('i', 200) FROM generate_series(1, 2000) g));
$target->safe_psql('postgres', 'CREATE TABLE instant (id integer PRIMARY KEY, filler text)');
my $holder = $source->background_psql('postgres', on_error_stop => 1);
$holder->query_safe('SELECT pg_advisory_lock(4711)');
my $before = table_digest($source, 'instant');
my $job    = $target->safe_psql(
	'postgres', qq(
	SET fastcopy.chunk_size = 8;
	SELECT fastcopy.start('$conninfo', 'instant', 'instant', 3, filter => 'public.hold(id)')));
# Each worker then holds its lock on the table.
$source->poll_query_until('postgres', q(SELECT count(*) = 3 FROM pg_locks WHERE NOT granted AND locktype = 'advisory'))
  or die 'the workers do not wait';
$source->safe_psql(
	'postgres', q(
	DELETE FROM instant WHERE id % 3 = 0;
	UPDATE instant SET id = -id, filler = 'changed' WHERE id % 3 = 1;
	INSERT INTO instant SELECT g, 'late' FROM generate_series(10001, 12000) g));
$source->safe_psql('postgres', 'VACUUM instant');

# TRUNCATE, ALTER and DROP of the table wait for the workers.
my @intruders;
for my $sql ('TRUNCATE instant', 'ALTER TABLE instant ALTER id TYPE bigint', 'DROP TABLE instant')
{
	my $intruder = $source->background_psql('postgres', on_error_stop => 1);
	$intruder->query_until(qr/trying/, "\\echo trying\n$sql;\n");
	push @intruders, $intruder;
}
ok( $source->poll_query_until('postgres', q(SELECT count(*) = 3 FROM pg_locks WHERE NOT granted AND locktype = 'relation')),
	'TRUNCATE, ALTER and DROP wait for the copy');
$holder->query_safe('SELECT pg_advisory_unlock(4711)');
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'the copy ends well');
is(table_digest($target, 'instant'), $before, 'the copy is the table as it was at the start');
quit_quietly($_) for @intruders;
$holder->quit;
is($source->safe_psql('postgres', q(SELECT to_regclass('instant') IS NULL)), 't', 'and they went on when it had ended');

no_leftovers($source, $target, 'copies of a table that is written');
done_testing();
