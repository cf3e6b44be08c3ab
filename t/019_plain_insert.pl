# Binary rows go into an ordinary table without COPY's parser. What arrives, and what is refused with which words,
# must not depend on that: each table is copied both ways, into a target without triggers and into one with a
# trigger that does nothing, which takes COPY's way.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair();
my $conninfo = conninfo($source);

$target->safe_psql('postgres', 'CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS '
	  . "'BEGIN RETURN NULL; END'");

# Makes the target's table, for one of the ways.
sub make_target
{
	my ($way, $definition) = @_;
	$target->safe_psql('postgres', "DROP TABLE IF EXISTS t; $definition");
	$target->safe_psql('postgres', 'CREATE TRIGGER nothing AFTER INSERT ON t EXECUTE FUNCTION nothing()')
	  if $way eq 'copy';
	return;
}

sub copied_alike
{
	my ($name, $columns, $rows) = @_;
	my $definition = "CREATE TABLE t ($columns)";
	$source->safe_psql('postgres', "DROP TABLE IF EXISTS t; $definition; INSERT INTO t $rows");
	foreach my $way ('plain', 'copy')
	{
		make_target($way, $definition);
		my $copied = $target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 't', 't', 1)");
		is(table_digest($target, 't'), table_digest($source, 't'), "$name: $way, $copied rows");
	}
	return;
}

foreach my $node ($source, $target)
{
	$node->safe_psql('postgres', "CREATE TYPE mood AS ENUM ('sad', 'ok')");
	$node->safe_psql('postgres', 'CREATE DOMAIN small AS integer CHECK (value < 1000)');
	$node->safe_psql('postgres', 'CREATE DOMAIN given AS text CONSTRAINT is_given NOT NULL');
}

copied_alike('numbers', 'a smallint, b integer, c bigint, d real, e float8, f numeric, g oid, h boolean',
	q{VALUES (-32768, -2147483648, -9223372036854775808, '-Infinity', 'NaN', 'NaN', 4294967295, false),
	(32767, 2147483647, 9223372036854775807, 1e-37, '-0', 1e100, 0, true),
	(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)});
copied_alike('times', 'a date, b timestamp, c timestamptz, d timestamptz(0), e time, f timetz, g interval',
	q{VALUES ('infinity', '-infinity', 'infinity', '-infinity', '24:00', '23:59:59+14', '-1 year 1 second'),
	('4713-01-01 BC', '4713-01-01 BC', '4713-01-03 BC', '2024-02-29 12:00:00.7', '0:00', '0:00-14', '0'),
	('5874897-12-31', '294276-12-31 23:59:59.999999', '294276-12-30', '2000-01-01', '1:00', '1:00+0', '178000000 years'),
	('0001-01-01', '8400-01-01', '8200-01-01', NULL, NULL, NULL, NULL)});
copied_alike('strings', 'a text, b varchar, c varchar(4), d char(4), e bytea, f name, g "char", h json, i jsonb, j xml',
	q{VALUES ('', '', '', '', '', '', '', '{}', '[]', NULL),
	(repeat('ä', 40000), repeat('€', 30000), 'äöü€', 'ä', decode(repeat('00ff', 40000), 'hex'), 'n', 'x',
		to_json(repeat('x', 70000)), to_jsonb(repeat('y', 70000)), NULL)});
copied_alike('other types', 'a uuid, b mood, c small, d inet, e integer[], f int4range, g point, h bit(3)',
	q{VALUES ('00000000-0000-0000-0000-0000000000ff', 'ok', 999, '::1', '{1,NULL}', '[1,5)', '(1,2)', B'101'),
	(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)});
# What is put together by us must be, byte for byte, what PostgreSQL stores.
sub stored_alike
{
	my ($name, $columns, $rows, @casts) = @_;
	copied_alike($name, $columns, $rows);
	make_target('plain', "CREATE TABLE t ($columns)");
	$target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 't', 't', 1)");
	foreach my $cast (@casts)
	{
		my ($column) = split /::/, $cast;
		is($target->safe_psql('postgres',
			"SELECT count(*) FROM t WHERE NOT record_image_eq(ROW($column), ROW(($column)::text::" . substr($cast, length($column) + 2) . '))'),
			'0', "$name: stored alike, $cast");
	}
	return;
}

stored_alike('numeric', 'a numeric, b numeric(12,2), c numeric(4,4), d numeric(5,-2), e numeric(3,5)',
	q{SELECT CASE i % 8 WHEN 0 THEN (random() * 10 ^ ((random() * 60)::int - 30))::numeric WHEN 1 THEN i * 10000::numeric
		WHEN 2 THEN -i / 100.0 WHEN 3 THEN trim_scale(i::numeric / 1024) WHEN 4 THEN round(i / 7.0, i % 70) WHEN 5 THEN -(10::numeric ^ (i % 300))
		WHEN 6 THEN (ARRAY['NaN', '0', '0.000', '-Infinity'])[1 + i / 8 % 4]::numeric END,
		((random() - 0.5) * 19999999999)::numeric(12,2), (random() - 0.5)::numeric(4,4), (random() * 9999999)::numeric(5,-2),
		(random() / 101)::numeric(3,5)
	FROM generate_series(1, 8000) i},
	'a::numeric', 'b::numeric(12,2)', 'c::numeric(4,4)', 'd::numeric(5,-2)', 'e::numeric(3,5)');
stored_alike('jsonb', 'a integer, b jsonb',
	q{SELECT i, CASE i % 12 WHEN 0 THEN jsonb_build_object('id', i, 'name', md5(i::text), 'ok', i % 2 = 0, 'none', NULL, 'amount', (i * 37 % 100000) / 100.0)
		WHEN 1 THEN to_jsonb(i * 1000003::bigint)
		WHEN 2 THEN to_jsonb(repeat(E'x"y\\\\z\n\t\r\b\f/', i % 50))
		WHEN 3 THEN (SELECT jsonb_agg(x * i) FROM generate_series(0, i % 200) x)
		WHEN 4 THEN (SELECT jsonb_object_agg('k' || x, repeat('v', x)) FROM generate_series(0, i % 90) x)
		WHEN 5 THEN '{"a": [1, 2.50, -0.001, 1e20, "x", {"deep": [[], {}, null, [[{"b": false}]]]}], "b": {}}'
		WHEN 6 THEN (ARRAY['null', '[]', '{}', 'true', 'false', '0', '""', '"\""'])[1 + i / 12 % 8]::jsonb
		WHEN 7 THEN to_jsonb('ü€😀' || i)
		WHEN 8 THEN jsonb_build_object('ü', i, 'ab', chr(1 + i % 31), '€', chr(127), E'a"\n', 1)
		WHEN 9 THEN to_jsonb(CASE i % 3 WHEN 0 THEN round(i / 7.0, i % 80) ELSE (random() * 10 ^ ((random() * 60)::int - 30))::numeric END)
		WHEN 10 THEN (repeat('[', i % 60) || repeat(']', i % 60))::jsonb
		ELSE jsonb_build_object('large', repeat('€', i * 2), 'list', (SELECT jsonb_agg(NULL::int) FROM generate_series(1, i % 5000))) END
	FROM generate_series(1, 9000) i},
	'b::jsonb');
# Rows of many sizes, across the limits of the buffer and of a batch.
copied_alike('sizes', 'a integer, b text, c text COMPRESSION pglz, d integer',
	q{SELECT i, repeat(chr(97 + i % 26), (i * 7919) % 9000), md5(i::text), -i FROM generate_series(1, 5000) i});
copied_alike('fields as large as the buffer', 'a integer, b text, c bytea, d json',
	q{SELECT i, repeat('x', i), decode(repeat('00', i), 'hex'), to_json(repeat('j', i - 2))
	FROM generate_series(65520, 65545) i});
copied_alike('rows without columns', '', 'SELECT FROM generate_series(1, 3)');

# Dropped columns on both sides, another order, and columns that only the target has.
$source->safe_psql('postgres', 'DROP TABLE t; CREATE TABLE t (x integer, a integer, b text, c boolean); '
	  . "ALTER TABLE t DROP x; INSERT INTO t SELECT i, i || 'b', i % 2 = 0 FROM generate_series(1, 2500) i");
foreach my $way ('plain', 'copy')
{
	make_target($way, 'CREATE TABLE t (c boolean, x text NOT NULL, only_here integer, b text, a integer); ALTER TABLE t DROP x; CREATE INDEX ON t (b); CREATE INDEX ON t ((a + 1)) WHERE c');
	$target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 't', 't', 1)");
	is($target->safe_psql('postgres', 'SELECT count(*), sum(a), count(only_here), bool_and(b = a || $$b$$ AND c = (a % 2 = 0)) FROM t'),
		'2500|3126250|0|t', "columns in another order: $way");
	is($target->safe_psql('postgres', "SET enable_seqscan = off; SELECT a FROM t WHERE b = '1999b'"), '1999', "an index: $way");
	is($target->safe_psql('postgres', 'SET enable_seqscan = off; SELECT b FROM t WHERE a + 1 = 2001 AND c'), '2000b',
		"an index on some rows: $way");
}

# What the target refuses: the same error, down to the line.
sub refused_alike
{
	my ($name, $columns, $rows, $target_columns) = @_;
	$source->safe_psql('postgres', "DROP TABLE IF EXISTS t; CREATE TABLE t ($columns); INSERT INTO t $rows");
	my %error;
	foreach my $way ('plain', 'copy')
	{
		make_target($way, "CREATE TABLE t ($target_columns)");
		my ($status, undef, $stderr) =
		  run_verbose($target, "SELECT fastcopy.copy('$conninfo', 't', 't', 1)");
		isnt($status, 0, "$name: $way");
		$error{$way} = error_parts($stderr);
		# Whose context is below that of the job.
		$error{$way}{context} = join "\n", grep { /^COPY|^SQL|^PL/ } split /\n/, $error{$way}{context};
		is($target->safe_psql('postgres', 'SELECT count(*) FROM t'), '0', "$name: $way leaves no row");
	}
	like($error{copy}{context}, qr/^COPY t, line \d+/, "$name: has its line");
	is_deeply($error{plain}, $error{copy}, "$name: the same error");
	return;
}

my $numbers = 'SELECT i, i::text FROM generate_series(1, 3000) i';
refused_alike('a check', 'a integer, b text', $numbers, 'a integer CHECK (a <> 1234), b text');
refused_alike('NOT NULL', 'a integer, b text', 'SELECT nullif(i, 1700), i::text FROM generate_series(1, 3000) i',
	'a integer NOT NULL, b text');
refused_alike('unique', 'a integer, b text', 'SELECT i % 2500, i::text FROM generate_series(1, 3000) i',
	'a integer PRIMARY KEY, b text');
refused_alike('varchar', 'a integer, b varchar', q{SELECT i, repeat('ä', i) FROM generate_series(1, 9) i},
	'a integer, b varchar(8)');
refused_alike('a domain', 'a integer, b text', $numbers,
	'a integer, b given CHECK (b <> $$77$$)');
refused_alike('NULL in a domain', 'a integer, b given', $numbers, 'a integer, b given NOT NULL CHECK (b <> $$88$$)');

no_leftovers($source, $target);

done_testing();
