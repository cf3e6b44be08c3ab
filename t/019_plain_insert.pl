# The fast insert path: binary rows go into an ordinary table without COPY's parser. What is stored, and which errors
# are raised, must be the same as with COPY FROM. So each table is copied both ways: into a target without triggers,
# and into one with a trigger that does nothing, for which COPY FROM is used.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyGate;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair(target_conf => 'log_min_messages = debug1');
my $conninfo = conninfo($source);

$target->safe_psql('postgres', 'CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS '
	  . "'BEGIN RETURN NULL; END'");

# Creates the target's table for one of the ways.
my $log_offset;
sub make_target
{
	my ($way, $definition) = @_;
	$target->safe_psql('postgres', "DROP TABLE IF EXISTS t; $definition");
	$target->safe_psql('postgres', 'CREATE TRIGGER nothing AFTER INSERT ON t EXECUTE FUNCTION nothing()')
	  if $way eq 'copy';
	$log_offset = -s $target->logfile;
	return;
}

# Which way the rows took that were copied since.
sub way_taken
{
	my %ways = ('multi-insert' => 'plain', 'COPY FROM' => 'copy');
	my %taken = map { $ways{$_} => 1 } slurp_file($target->logfile, $log_offset) =~ /DEBUG:  copying into ".*" using (.*)/g;
	return join ' and ', sort keys %taken;
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
		# Rows without columns take neither way: there is nothing to decode.
		is(way_taken(), $columns eq '' ? '' : $way, "$name: $way indeed");
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
# Stored forms that we write ourselves must be byte for byte what PostgreSQL stores.
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

# Version 15 introduced these scales.
my ($below, $above, $large) = major_version($target) < 15 ? ('numeric(5,0)', 'numeric(5,5)', 99999) : ('numeric(5,-2)', 'numeric(3,5)', 9999900);
stored_alike('numeric', "a numeric, b numeric(12,2), c numeric(4,4), d $below, e $above",
	qq{SELECT CASE i % 8 WHEN 0 THEN (random() * 10 ^ ((random() * 60)::int - 30))::numeric WHEN 1 THEN i * 10000::numeric
		WHEN 2 THEN -i / 100.0 WHEN 3 THEN trim_scale(i::numeric / 1024) WHEN 4 THEN round(i / 7.0, i % 70) WHEN 5 THEN -(10::numeric ^ (i % 300))
		WHEN 6 THEN (ARRAY['NaN', '0', '0.000', '-Infinity'])[1 + i / 8 % 4]::numeric END,
		((random() - 0.5) * 19999999999)::numeric(12,2), (random() - 0.5)::numeric(4,4), (random() * $large)::$below,
		(random() / 101)::$above
	FROM generate_series(1, 8000) i},
	'a::numeric', 'b::numeric(12,2)', 'c::numeric(4,4)', "d::$below", "e::$above");
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

# Dropped columns on both sides, another order, and additional columns of the target.
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

# Rows that the target rejects: the same error, and the same line.
sub refused_alike
{
	my ($name, $columns, $rows, $target_columns) = @_;
	$source->safe_psql('postgres', "DROP TABLE IF EXISTS t; CREATE TABLE t ($columns); INSERT INTO t $rows");
	my %error;
	foreach my $way ('plain', 'copy')
	{
		make_target($way, $target_columns =~ /^\s*CREATE/ ? $target_columns : "CREATE TABLE t ($target_columns)");
		my ($status, undef, $stderr) =
		  run_verbose($target, "SELECT fastcopy.copy('$conninfo', 't', 't', 1)");
		isnt($status, 0, "$name: $way");
		$error{$way} = error_parts($stderr);
		# The job's own context lines follow.
		$error{$way}{context} = join "\n", grep { /^COPY|^SQL|^PL/ } split /\n/, $error{$way}{context};
		is($target->safe_psql('postgres', 'SELECT count(*) FROM t'), '0', "$name: $way leaves no row");
		is(way_taken(), $way, "$name: $way indeed");
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

# Partitions of all kinds, levels and layouts, with generated columns and indexes of their own.
my $partitioned = q(
CREATE TABLE t (x integer, a integer, b text, c integer GENERATED ALWAYS AS (a % 10) STORED, d integer) PARTITION BY RANGE (a);
ALTER TABLE t DROP x;
CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (MINVALUE) TO (500);
CREATE TABLE t_attached (d integer, b text DEFAULT 'not asked for', y integer, a integer NOT NULL,
	c integer GENERATED ALWAYS AS (a % 10) STORED, CHECK (a <> -1));
ALTER TABLE t_attached DROP y;
ALTER TABLE t ATTACH PARTITION t_attached FOR VALUES FROM (500) TO (1000);
CREATE TABLE t_hashed PARTITION OF t FOR VALUES FROM (1000) TO (2000) PARTITION BY HASH (b);
CREATE TABLE t_hashed_0 PARTITION OF t_hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE t_hashed_1 (a integer, b text, d integer CHECK (d > 0), c integer GENERATED ALWAYS AS (a % 10) STORED);
ALTER TABLE t_hashed ATTACH PARTITION t_hashed_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE UNIQUE INDEX ON t_hashed_1 (a);
CREATE INDEX ON t_low ((a * 2)) WHERE b LIKE '%7';
CREATE INDEX ON t (a));
my $default = 'CREATE TABLE t_default PARTITION OF t DEFAULT;';
my $placed = q(SELECT string_agg(part || ' ' || n || ' ' || h, ', ' ORDER BY part) FROM (
	SELECT tableoid::regclass::text AS part, count(*) AS n, sum(hashtextextended(ROW(a, b, c, d)::text, 0)::numeric) AS h
	FROM t GROUP BY 1) p);
# Ordered rows and unordered ones; rows that exceed the buffer.
foreach my $order ('i', 'md5(i::text)')
{
	$source->safe_psql('postgres', "DROP TABLE t; CREATE TABLE t (a integer, b text, d integer); INSERT INTO t
		SELECT nullif(i, 2900), CASE WHEN i % 1000 = 700 THEN repeat(i::text, 30000) ELSE 'text ' || i END, i FROM generate_series(1, 3000) i ORDER BY $order");
	my %placed;
	foreach my $way ('plain', 'copy')
	{
		make_target($way, "$partitioned; $default");
		is($target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 't', 't', 1)"), '3000', "partitions by $order: $way");
		is(way_taken(), $way, "partitions by $order: $way indeed");
		$placed{$way} = $target->safe_psql('postgres', $placed);
		is($target->safe_psql('postgres', q(SET enable_seqscan = off; SET enable_bitmapscan = off;
			SELECT (SELECT b FROM t_low WHERE a * 2 = 34 AND b LIKE '%7'), (SELECT sum(a) FROM t), (SELECT count(*) FROM t WHERE a BETWEEN 400 AND 1600),
				(SELECT count(*) FROM t_hashed_1 WHERE a > 0) + (SELECT count(*) FROM t_hashed_0 WHERE a > 0), (SELECT sum(c) FROM t))),
			'text 17|4498600|1201|1000|13500', "partitions by $order: $way, indexes");
	}
	like($placed{copy}, qr/^t_attached 500 .*, t_default 1001 .*, t_hashed_0 \d+ .*, t_hashed_1 \d+ .*, t_low 499 /, 'rows are where they belong');
	is($placed{plain}, $placed{copy}, "partitions by $order: the same rows at the same place");
}

my $items = 'SELECT i, i::text, i FROM generate_series(1, 1900) i';
refused_alike('no partition', 'a integer, b text, d integer', "$items UNION ALL SELECT 2000, 'z', 1", $partitioned);
refused_alike('a check of a partition', 'a integer, b text, d integer', "$items UNION ALL SELECT i, i::text, 0 FROM generate_series(1900, 1999) i",
	$partitioned);
refused_alike('NOT NULL in a partition', 'a integer, b text, d integer', "$items UNION ALL SELECT 700, NULL, NULL",
	"$partitioned; ALTER TABLE t_attached ALTER d SET NOT NULL");
refused_alike('unique in a partition', 'a integer, b text, d integer', "$items UNION ALL SELECT * FROM ($items) again(a) WHERE a BETWEEN 1500 AND 1700", $partitioned);
refused_alike('a generated value', 'a integer, b text', $numbers, 'a integer, b text, c integer GENERATED ALWAYS AS (1000 / (a - 1500)) STORED');
refused_alike('a check of a generated value', 'a integer, b text', $numbers,
	'a integer, b text, c integer GENERATED ALWAYS AS (a * 2) STORED CHECK (c <> 3000)');
refused_alike('the bounds of a partition', 'a integer, b text', $numbers,
	'CREATE TABLE IF NOT EXISTS parent (a integer, b text) PARTITION BY RANGE (a); CREATE TABLE t PARTITION OF parent FOR VALUES FROM (1) TO (2500)');
$target->safe_psql('postgres', 'DROP TABLE parent');

# A leaf that generates a column which is an ordinary one in the target and is not sent by the source (ATTACH
# PARTITION allows that up to version 15): only that leaf has the value. Rows of other leaves follow in the same
# slots. COPY FROM in a session shows what is right.
if (major_version($target) < 16)
{
	my $copy_of_t = $target->basedir . '/t.copy';
	foreach my $case ([ 'text', q(repeat('x', a)) ], [ 'integer', 'a + 41' ])
	{
		my ($type, $expression) = @$case;
		# p2 has the target's layout, p3 has another.
		my $shape = "CREATE TABLE t (a integer, b $type) PARTITION BY LIST (a);
			CREATE TABLE p1 (a integer, b $type GENERATED ALWAYS AS ($expression) STORED);
			CREATE TABLE p2 (a integer, b $type);
			CREATE TABLE p3 (b $type, a integer);"
		  . join '', map { "ALTER TABLE t ATTACH PARTITION p$_ FOR VALUES IN ($_);" } 1 .. 3;
		$source->safe_psql('postgres', qq(DROP TABLE t; CREATE TABLE t (a integer);
			INSERT INTO t SELECT a FROM generate_series(1, 3) a, generate_series(1, 2000); COPY t TO '$copy_of_t' (FORMAT binary)));
		make_target('plain', $shape);
		is($target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 't', 't', 1)"), '6000', "a leaf generates $type: copied");
		is(way_taken(), 'plain', "a leaf generates $type: the fast path");
		my $rows = 'SELECT tableoid::regclass, a, b, count(*) FROM t GROUP BY 1, 2, 3 ORDER BY 1, 2';
		my $stored = $target->safe_psql('postgres', $rows);
		is($stored, $target->safe_psql('postgres', "TRUNCATE t; COPY t (a) FROM '$copy_of_t' (FORMAT binary); $rows"),
			"a leaf generates $type: the same rows as COPY FROM");
		like($stored, qr/\np2\|2\|\|2000\np3\|3\|\|2000$/, "a leaf generates $type: other leaves have NULL");
	}
}

# Partitions that are not plain need COPY FROM.
$source->safe_psql('postgres', "DROP TABLE t; CREATE TABLE t (a integer, b text, d integer); INSERT INTO t SELECT * FROM ($items) i(a) WHERE a < 1000");
$target->safe_psql('postgres', 'CREATE TABLE seen (a integer); CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS '
	  . "'BEGIN INSERT INTO public.seen VALUES (NEW.a); RETURN NEW; END'");
my $see = 'CREATE TRIGGER see BEFORE INSERT ON t_attached FOR EACH ROW EXECUTE FUNCTION see()';
make_target('plain', "$partitioned; $see");
is($target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 't', 't', 1); SELECT count(*), sum(a) FROM seen"), "999\n500|374750",
	'a trigger of a partition');
is(way_taken(), 'copy', 'a trigger of a partition: through COPY FROM');

# A partition that gets a trigger after the way has been chosen: the chunk is retried.
{
	make_target('plain', $partitioned);
	$target->safe_psql('postgres', 'TRUNCATE seen');
	$source->safe_psql('postgres', q(CREATE FUNCTION gate(a integer) RETURNS boolean LANGUAGE plpgsql AS
		'BEGIN IF a = 501 THEN PERFORM pg_catalog.pg_advisory_xact_lock_shared(1); END IF; RETURN true; END'));
	my $gatekeeper = $source->background_psql('postgres');
	hold_gate($gatekeeper);
	my $job = $target->safe_psql('postgres', qq(SET fastcopy.retry_delay = '10ms';
		SELECT fastcopy.start('$conninfo', 't', 't', 1, filter => 'public.gate(a)')));
	wait_at_gate($source, 1)
	  or die 'the source did not come to the gate';
	$target->poll_query_until('postgres', q(SELECT count(*) = 1 FROM pg_stat_progress_copy)) or die 'the worker does not copy';
	$target->safe_psql('postgres', $see);
	open_gate($gatekeeper);
	is(wait_state($target, $job, 'done|failed'), 'done', 'a trigger comes late: the job is done');
	is($target->safe_psql('postgres', 'SELECT count(*) FROM t'), '999', 'a trigger is added late: all rows are copied');
	is($target->safe_psql('postgres', 'SELECT count(*), sum(a) FROM seen'), '500|374750', 'a trigger comes late: it has seen its rows');
	is(way_taken(), 'copy and plain', 'a trigger comes late: both ways were tried');
	like(slurp_file($target->logfile, $log_offset), qr/will retry chunk 1: partition "t_attached" of the target was altered/,
		'a trigger is added late: the log has the retry');
	$gatekeeper->quit;
}

# jsonb from servers of other encodings. Keys are sorted by their lengths, which depend on the encoding; invalid text
# of the target's encoding is rejected.
$source->safe_psql('postgres', "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'");
$source->safe_psql('postgres', "CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'");
$source->safe_psql('latin', q(SET client_encoding = 'UTF8'; CREATE TABLE t (a integer, b jsonb, c varchar);
	INSERT INTO t VALUES (1, '{"é": 1, "ab": 2, "x": {"ä": [], "üb": null, "abc": "öß"}}', 'äöü'), (2, '"é"', 'ÿ'), (3, '{"ab": "é", "é": "ab"}', 'é')));
$source->safe_psql('ascii', q(CREATE TABLE t (a integer, b jsonb, c text); INSERT INTO t VALUES (1, '["fine"]', 'fine'), (2, E'["caf\\xe9"]', 'fine')));
my %refusal;
foreach my $way ('plain', 'copy')
{
	make_target($way, 'CREATE TABLE t (a integer, b jsonb, c varchar(3))');
	is($target->safe_psql('postgres', "SELECT fastcopy.copy('" . conninfo($source, dbname => 'latin') . "', 't', 't', 1);
		SELECT count(*), bool_and(record_image_eq(ROW(b), ROW(b::text::jsonb))), sum((b -> 'é')::text::integer) FILTER (WHERE a = 1) FROM t"), "3\n3|t|1",
		"jsonb from LATIN1: $way");
	is(way_taken(), $way, "jsonb from LATIN1: $way indeed");
	make_target($way, 'CREATE TABLE t (a integer, b jsonb, c text)');
	my (undef, undef, $stderr) = run_verbose($target, "SELECT fastcopy.copy('" . conninfo($source, dbname => 'ascii') . "', 't', 't', 1)");
	$refusal{$way} = error_parts($stderr);
	is($refusal{$way}{sqlstate}, '22021', "jsonb of no encoding: $way");
}
is_deeply([ @{ $refusal{plain} }{qw(message detail)} ], [ @{ $refusal{copy} }{qw(message detail)} ], 'jsonb of no encoding: the same error');

# Small rows that a generated column makes large: a batch is limited by the size of its tuples, not of the bytes
# received.
SKIP:
{
	skip 'no /proc', 1 unless -e '/proc/self/status';
	$source->safe_psql('postgres', q(DROP TABLE t; CREATE TABLE t (a integer, b text); INSERT INTO t SELECT i, repeat('b', 100) FROM generate_series(1, 600) i));
	make_target('plain', q(CREATE TABLE t (a integer, b text, c text GENERATED ALWAYS AS (repeat('x', 400000 + a)) STORED)));
	my $gatekeeper = $source->background_psql('postgres');
	hold_gate($gatekeeper);
	my $job = $target->safe_psql('postgres', "SELECT fastcopy.start('$conninfo', 't', 't', 1, filter => 'public.gate(a)')");
	wait_at_gate($source, 1)
	  or die 'the source did not come to the gate';
	# The remaining rows are on their way.
	$target->poll_query_until('postgres', 'SELECT rows_copied >= 400 FROM fastcopy.status ORDER BY job DESC LIMIT 1') or die 'no rows';
	my $pid = $target->safe_psql('postgres', 'SELECT pid FROM fastcopy.workers');
	# Wait until the worker waits for more.
	$target->poll_query_until('postgres', "SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $pid") or die 'the worker does not wait';
	my ($peak) = slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m;
	cmp_ok($peak, '<', 150_000, 'large generated values: the batch is small') unless ($ENV{FASTCOPY_TEST_UNDER} // '') ne '';
	open_gate($gatekeeper);
	is(wait_state($target, $job, 'done|failed'), 'done', 'large generated values: done');
	is($target->safe_psql('postgres', 'SELECT count(*), sum(length(c)) FROM t'), '600|240180300', 'large generated values: all rows');
	$gatekeeper->quit;
}

# Large values are compressed with lz4 unless the column, the role or the database specifies a method, or
# fastcopy.lz4_toast is off.
SKIP:
{
	$target->safe_psql('postgres', 'CREATE TABLE probe (v text COMPRESSION pglz)');
	my ($result) = $target->psql('postgres', 'ALTER TABLE probe ALTER COLUMN v SET COMPRESSION lz4');
	skip 'this server was built without lz4', 8 if $result != 0;

	$source->safe_psql('postgres',
		"CREATE TABLE large AS SELECT i, repeat('row ' || i || ' ', 2000) AS v FROM generate_series(1, 20) i");

	# How the values of a fresh copy are compressed.
	my $compression_of_copy = sub {
		my ($column, @settings) = @_;
		$target->safe_psql('postgres', join('; ',
			'DROP TABLE IF EXISTS large', "CREATE TABLE large (i integer, v text $column)"));
		$target->safe_psql('postgres', join('; ', @settings,
			"SELECT fastcopy.copy('$conninfo', 'large', 'large', 1)"));
		is(table_digest($target, 'large'), table_digest($source, 'large'), 'compressed values are the same');
		return $target->safe_psql('postgres', 'SELECT DISTINCT pg_column_compression(v) FROM large');
	};

	is($compression_of_copy->(''), 'lz4', 'lz4 is the default');
	is($compression_of_copy->('COMPRESSION pglz'), 'pglz', 'a setting of the column takes precedence');
	# From version 19 on, lz4 is the server's default.
	my $default = $target->safe_psql('postgres', q(SELECT boot_val FROM pg_settings WHERE name = 'default_toast_compression'));
	is($compression_of_copy->('', 'SET fastcopy.lz4_toast = off'), $default, 'with fastcopy.lz4_toast = off, the server\'s default applies');
	$target->safe_psql('postgres', 'ALTER DATABASE postgres SET default_toast_compression = pglz');
	is($compression_of_copy->(''), 'pglz', 'a setting of the database takes precedence');
	$target->safe_psql('postgres', 'ALTER DATABASE postgres RESET default_toast_compression');
}

no_leftovers($source, $target);

done_testing();
