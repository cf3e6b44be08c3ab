# Sources of each major version from 10 on: tables of several shapes and types are copied and compared, a job is
# resumed, and a database is cloned with its definitions.
#
# Differences between versions that matter to a source: ranges of blocks (14), partitioned tables with indexes,
# defaults and hashes (11), generated columns (12, 18), floats as text (12), snapshots as a type (13), multiranges
# (14), infinite intervals (17), NOT NULL as a constraint (18).
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyCompare;
use FastcopyDump;
use FastcopyOldServer;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $target = PostgreSQL::Test::Cluster->new('target');
$target->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$target->append_conf('postgresql.conf', "max_worker_processes = 24\nautovacuum = off\nfsync = off\n");
$target->start;
my $target_version = major_version($target);
$target->safe_psql('postgres', 'CREATE ROLE reader');

# Both sides have these types, with different OIDs.
my $types = q(
	CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
	CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
	CREATE TYPE pair AS (a integer, b text);
	CREATE TYPE floatrange AS RANGE (SUBTYPE = float8);
);
my $columns = q(id integer, b boolean, i2 smallint, i8 bigint, n numeric, n2 numeric(12,3), r real, d double precision, t text,
	v varchar(20), c char(5), bin bytea, dt date, tm time, tmz timetz, ts timestamp, tz timestamptz, iv interval, u uuid,
	j json, jb jsonb, ip inet, net cidr, mac macaddr, mac8 macaddr8, bits bit(5), vb varbit, p point, bx box, vec tsvector,
	q tsquery, ints integer[], texts text[], rg int4range, tr tstzrange, m mood, ms mood[], pos positive, pr pair, prs pair[],
	fr floatrange, lsn pg_lsn);
my $values = q(SELECT g, g % 2 = 0, -g, g * 4000000000::bigint, g / 7.0, g * 1.005, g / 3.0::real, g / 3.0::float8, repeat('ä' || g, g % 50),
	'v' || g, 'c', decode(lpad(to_hex(g), 8, '0'), 'hex'), date '2000-02-29' + g, time '23:59:59.123456', timetz '12:00+05:30',
	timestamp '1999-12-31 23:59:59.999999' + g * interval '1 day', timestamptz '2020-03-29 01:30+01' - g * interval '1 hour',
	make_interval(months => g, days => -g, secs => g / 3.0), md5(g::text)::uuid, '{"a": [1, 2.50]}', jsonb_build_object('k' || g, g / 8.0),
	('10.1.' || g % 256 || '.1/8')::inet, '2001:db8::/32', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', B'10101', (g::bit(8))::varbit,
	point(g, 1 / 3.0), box(point(0, 0), point(g, 1e-5)), to_tsvector('simple', 'word' || g || ' other'), 'a & !b', ARRAY[g, NULL, 3],
	ARRAY['x', 'a,"b\\'], int4range(g, g + 5), tstzrange('2020-01-01 UTC', NULL), (ARRAY['sad', 'ok', 'happy'])[g % 3 + 1]::mood,
	ARRAY['ok', NULL]::mood[], g, (g, 'x "y"')::pair, ARRAY[(g, NULL)::pair], floatrange(0.1, g / 0.3), '16/B374D848'
	FROM generate_series(1, 600) g);

# The tables of a source, by name; their rows; and the target's columns if they differ.
sub tables_of
{
	my ($version) = @_;
	my @tables = (
		[ types => "($columns)", "INSERT INTO types $values; INSERT INTO types (id, n, r, d, dt, ts, rg, fr)
			VALUES (0, 'NaN', 'NaN', '-Infinity', 'infinity', '-infinity', 'empty', '(,)'), (-1, '0.000', '-0', '1e-307', '4713-01-01 BC', '294276-01-01', NULL, NULL)" ],
		[ keyed => '(id bigint PRIMARY KEY, t text)', q(INSERT INTO keyed SELECT g * 7 - 9000, repeat('x', 100) || g FROM generate_series(1, 3000) g) ],
		[ by_text => '(k text PRIMARY KEY, n integer)', q(INSERT INTO by_text SELECT md5(g::text), g FROM generate_series(1, 3000) g) ],
		[ nulls => '(k timestamptz, n integer, pad text)', q(INSERT INTO nulls SELECT CASE WHEN g % 5 > 0 THEN timestamptz '2020-01-01 UTC' + g * interval '1 minute' END, g, repeat('x', 100)
			FROM generate_series(1, 3000) g; CREATE INDEX ON nulls (k)) ],
		[ toasted => '(id serial PRIMARY KEY, t text, e text)', q(ALTER TABLE toasted ALTER e SET STORAGE EXTERNAL;
			INSERT INTO toasted (t, e) SELECT (SELECT string_agg(md5((g * 1000 + i)::text), '') FROM generate_series(1, 300) i), repeat(g::text || 'x', 3000)
			FROM generate_series(1, 40) g; DELETE FROM toasted WHERE id > 38) ],
		[ parted => '(id integer, k text, at date NOT NULL)', q(CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
			CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2020-01-01') TO ('2030-01-01') PARTITION BY LIST (k);
			CREATE TABLE parted_2a PARTITION OF parted_2 FOR VALUES IN ('a');
			CREATE TABLE parted_2b PARTITION OF parted_2 FOR VALUES IN ('b', NULL);
			INSERT INTO parted SELECT g, CASE g % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'b' END, date '2019-01-01' + g % 1000 FROM generate_series(1, 3000) g), 'PARTITION BY RANGE (at)' ],
		[ inherited => '(id integer, t text)', q(CREATE TABLE heir (more integer) INHERITS (inherited);
			INSERT INTO inherited SELECT g, 'parent' FROM generate_series(1, 500) g; INSERT INTO heir SELECT g, 'child', g FROM generate_series(1, 500) g) ],
		[ changed => '(id integer, a text, late text)', q(ALTER TABLE changed DROP a, DROP late, ADD a text DEFAULT 'default'; INSERT INTO changed SELECT g FROM generate_series(1, 200) g;
			ALTER TABLE changed ADD late text DEFAULT 'late') ],
		[ identity => '(id bigint GENERATED ALWAYS AS IDENTITY, t text)', q(INSERT INTO identity (t) SELECT 'i' || g FROM generate_series(1, 300) g) ],
		[ empty => '(id integer)', '' ]);
	# Version 18 may fail to plan any condition on such a column: cache lookup failed for collation 0.
	push @tables, [ by_char => '(k "char", n integer)', q(INSERT INTO by_char SELECT (g % 256 - 128)::"char", g FROM generate_series(1, 3000) g; CREATE INDEX ON by_char (k)) ] if $version < 18;
	push @tables, [ hashed => '(id integer, t text)', q(CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
			CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
			CREATE UNIQUE INDEX ON hashed (id); INSERT INTO hashed SELECT g, 'h' FROM generate_series(1, 2000) g), 'PARTITION BY HASH (id)' ] if $version >= 11;
	push @tables, [ generated => '(id integer, twice integer GENERATED ALWAYS AS (id * 2) STORED)',
		q(INSERT INTO generated SELECT g FROM generate_series(1, 300) g) ] if $version >= 12;
	push @tables, [ multi => '(id integer, mr int4multirange, fm floatmultirange)',
		q(INSERT INTO multi SELECT g, int4multirange(int4range(1, 3), int4range(g + 5, g + 9)), floatmultirange(floatrange(0.1, g)) FROM generate_series(1, 300) g) ] if $version >= 14;
	push @tables, [ forever => '(id integer, iv interval)',
		q(INSERT INTO forever SELECT g, '-infinity' FROM generate_series(1, 3) g) ] if $version >= 17 && $target_version >= 17;
	push @tables, [ virtual => '(id integer NOT NULL, twice integer GENERATED ALWAYS AS (id * 2) ' . ($version >= 18 ? 'VIRTUAL' : 'STORED') . ')',
		q(INSERT INTO virtual SELECT g FROM generate_series(1, 300) g) ] if $version >= 18;
	return @tables;
}

sub create { my ($table, $rest) = @_; return "CREATE TABLE $table->[0] $table->[1] " . ($rest // '') . ";\n" }

# A database with what each version has of tables, keys, views and functions.
sub shop_of
{
	my ($version) = @_;
	my $sql = q(
		CREATE SCHEMA sales;
		CREATE TYPE mood AS ENUM ('sad', 'ok');
		CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
		CREATE TABLE customers (id integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name text NOT NULL, mood mood DEFAULT 'ok', invited_by integer REFERENCES customers);
		CREATE TABLE sales.orders (id bigserial PRIMARY KEY, customer integer NOT NULL REFERENCES customers ON DELETE CASCADE, total numeric(10,2) CHECK (total >= 0), note varchar(20));
		CREATE TABLE sales.lines (order_id bigint REFERENCES sales.orders DEFERRABLE INITIALLY DEFERRED, line positive, item text COLLATE "C", PRIMARY KEY (order_id, line));
		CREATE INDEX ON sales.lines (lower(item)) WHERE line > 1;
		CREATE TABLE numbers (id bigint GENERATED ALWAYS AS IDENTITY (START 5 INCREMENT 5), UNIQUE (id));
		CREATE TABLE events (id integer, kind text, at date NOT NULL) PARTITION BY RANGE (at);
		CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
		CREATE TABLE events_new PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2030-01-01') PARTITION BY LIST (kind);
		CREATE TABLE events_new_a PARTITION OF events_new (id NOT NULL) FOR VALUES IN ('a');
		CREATE TABLE events_new_b PARTITION OF events_new FOR VALUES IN ('b', NULL);
		CREATE INDEX ON events_old (id);
		CREATE TABLE place (name text);
		CREATE TABLE city (inhabitants integer DEFAULT 1) INHERITS (place);
		CREATE SEQUENCE free START 100;
		CREATE STATISTICS of_orders ON customer, total FROM sales.orders;
		CREATE FUNCTION twice(x numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT x * 2';
		CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note := ''touched''; RETURN NEW; END';
		CREATE AGGREGATE total(numeric) (SFUNC = numeric_add, STYPE = numeric, INITCOND = '0');
		CREATE VIEW sums AS SELECT customer, total(twice(total)) AS twice FROM sales.orders GROUP BY customer;
		CREATE VIEW rich WITH (security_barrier) AS SELECT name, s.twice FROM sums s JOIN customers ON id = customer WHERE s.twice > 100;
		CREATE MATERIALIZED VIEW kept AS TABLE rich;
		CREATE UNIQUE INDEX ON kept (name);
		CREATE RULE no_delete AS ON DELETE TO numbers DO INSTEAD NOTHING;
		COMMENT ON COLUMN customers.name IS 'whom we know';
		GRANT SELECT (name) ON customers TO reader;
		ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
		CREATE POLICY own ON customers FOR SELECT TO reader USING (name = current_user);

		INSERT INTO customers (name, invited_by) SELECT 'customer ' || g, nullif(g / 2, 0) FROM generate_series(1, 500) g;
		INSERT INTO sales.orders (customer, total) SELECT 1 + g % 500, g * 1.1 FROM generate_series(1, 2000) g;
		INSERT INTO sales.lines SELECT 1 + g % 2000, 1 + g / 2000, 'item ' || g % 100 FROM generate_series(0, 7999) g;
		INSERT INTO numbers SELECT FROM generate_series(1, 10);
		INSERT INTO events SELECT g, CASE g % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'b' END, date '2018-01-01' + g FROM generate_series(1, 1500) g;
		INSERT INTO place VALUES ('moon');
		INSERT INTO city VALUES ('Ur');
		SELECT nextval('free');
		-- Not one of the rows that are cloned has gone through it.
		CREATE TRIGGER touch BEFORE INSERT ON sales.orders FOR EACH ROW EXECUTE PROCEDURE touch();
		REFRESH MATERIALIZED VIEW kept;);
	$sql .= q(
		CREATE TABLE hashed (id integer PRIMARY KEY, customer integer REFERENCES customers) PARTITION BY HASH (id);
		CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
		CREATE TABLE events_rest PARTITION OF events DEFAULT;
		CREATE INDEX ON events (at) INCLUDE (kind);
		CREATE PROCEDURE nothing() LANGUAGE plpgsql AS 'BEGIN END';
		INSERT INTO hashed SELECT g, 1 + g % 500 FROM generate_series(1, 1000) g;
		INSERT INTO events VALUES (1, 'late', '2040-01-01');) if $version >= 11;
	$sql .= q(
		CREATE TABLE generated (id integer REFERENCES hashed, twice integer GENERATED ALWAYS AS (id * 2) STORED);
		INSERT INTO generated SELECT g FROM generate_series(1, 100) g;) if $version >= 12;
	$sql .= q{
		CREATE TABLE multi (r int4multirange, c text COMPRESSION pglz);
		CREATE FUNCTION parsed(x integer) RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT x + count(*) FROM customers; END;
		INSERT INTO multi VALUES ('{[1,3),[5,7)}');} if $version >= 14;
	$sql .= q(
		CREATE TABLE at_most_one (a integer UNIQUE NULLS NOT DISTINCT);
		INSERT INTO at_most_one VALUES (1), (NULL);) if $version >= 15;
	$sql .= q(
		CREATE TABLE parted_identity (id bigint GENERATED ALWAYS AS IDENTITY, a integer) PARTITION BY LIST (a);
		CREATE TABLE parted_identity_1 PARTITION OF parted_identity DEFAULT;
		INSERT INTO parted_identity (a) SELECT g FROM generate_series(1, 10) g;) if $version >= 17;
	$sql .= q{
		CREATE TABLE without_overlaps (id int4range, at daterange, PRIMARY KEY (id, at WITHOUT OVERLAPS), a integer CONSTRAINT a_is_there NOT NULL);
		INSERT INTO without_overlaps VALUES ('[1,2)', '[2020-01-01,2021-01-01)', 1);} if $version >= 18;
	return $sql;
}

# An entry of pg_dump in the words of all servers: those before version 12 know another keyword in triggers, those before 16
# qualify each column of a view.
sub in_words_of_all
{
	my ($entry) = @_;
	return $entry =~ /^Name: .*; Type: (?:MATERIALIZED )?VIEW;/ ? $entry =~ s/\b(?:rich|orders)\.//gr : $entry =~ s/EXECUTE PROCEDURE/EXECUTE FUNCTION/r;
}

# A database is cloned with its definitions, into an empty one. A server of a newer version than the target is refused.
sub clone_shop
{
	my ($source, $version) = @_;
	my ($name, $conninfo) = ("shop_$version", conninfo($source, dbname => 'shop'));
	$source->safe_psql('postgres', 'CREATE ROLE reader');
	$source->safe_psql('postgres', 'CREATE DATABASE shop TEMPLATE template0');
	$source->safe_psql('shop', shop_of($version));
	$target->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE template0");
	$target->safe_psql($name, 'CREATE EXTENSION pg_fastcopy');
	my $call = "fastcopy.clone('$conninfo', definitions => 'create', workers => 2)";
	if ($version > $target_version)
	{
		fails_with($target, "SELECT fastcopy.wait($call)", '0A000', qr/version/, "$version: definitions of a newer version are refused", dbname => $name);
		return;
	}
	is($target->safe_psql($name, "SELECT string_agg(finding, '; ') FROM fastcopy.check('$conninfo') WHERE severity <> 'info'"), '', "$version: a check of a clone with its definitions finds nothing");
	is($target->safe_psql($name, "SELECT fastcopy.wait($call)"), 'done', "$version: a database is cloned with its definitions");
	my @relations = split /\n/, $source->safe_psql('shop', q(SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE relkind IN ('r', 'p', 'v', 'm') AND nspname IN ('public', 'sales') ORDER BY 1));
	is(join(' ', grep { rows_of($source, "SELECT * FROM $_", 'shop') ne rows_of($target, "SELECT * FROM $_", $name) } @relations), '', "$version: ... all tables and views have the same rows");
	my @tables = split /\n/, $target->safe_psql($name, 'SELECT source_table FROM fastcopy.tables');
	cmp_ok(scalar @tables, '>=', 7, "$version: ... each table was copied");
	is(join(' ', grep { $target->safe_psql($name, "SELECT differs FROM fastcopy.compare('$conninfo', '$_', '$_', 2) WHERE range = 'total'") ne 'f' } @tables), '', "$version: ... and compares equal");
	my @sequences = split /\n/, $source->safe_psql('shop', q(SELECT oid::regclass FROM pg_class WHERE relkind = 'S' ORDER BY 1));
	is(join(' ', grep { rows_of($source, "SELECT last_value, is_called FROM $_", 'shop') ne rows_of($target, "SELECT last_value, is_called FROM $_", $name) } @sequences), '', "$version: ... sequences go on");
	$target->safe_psql($name, 'DROP EXTENSION pg_fastcopy CASCADE');
	is($target->safe_psql($name, 'SELECT count(*) FROM pg_constraint WHERE NOT convalidated'), 0, "$version: ... constraints are valid");
	is(differing_definitions($conninfo, conninfo($target, dbname => $name), \&in_words_of_all), '', "$version: ... and pg_dump writes the same text");
	return;
}

my $tried = 0;
for my $version (10 .. 14, 16 .. 18)
{
	my ($source, $why_not) = FastcopyOldServer->start($version);
	if (!$source)
	{
		SKIP: { skip "there is no server of version $version: $why_not", 1 }
		next;
	}
	$tried++;
	my @tables   = tables_of($version);
	my $conninfo = conninfo($source);
	my $database = "from_$version";
	$source->safe_psql('postgres', "CREATE TABLE first (a integer); $types" . join('', map { create($_, $_->[3]) . "$_->[2];\n" } @tables)
		  . q(CREATE VIEW seen AS SELECT id, t FROM keyed WHERE id % 2 = 0; CREATE MATERIALIZED VIEW kept AS TABLE keyed; ANALYZE));
	$target->safe_psql('postgres', "CREATE DATABASE $database");
	$target->safe_psql($database, "CREATE EXTENSION pg_fastcopy; $types"
		  . join('', map { $target_version < 18 ? create($_) =~ s/VIRTUAL/STORED/r : create($_) } @tables, [ seen => '(id bigint, t text)' ], [ kept => '(id bigint, t text)' ]));

	my $of = "SELECT string_agg(DISTINCT finding, '; ') FROM fastcopy.check('$conninfo'";
	is($target->safe_psql($database, "$of) WHERE severity <> 'info' AND finding !~ 'exists here already|of a newer version'"), '', "$version: a check of a clone finds nothing but what exists here");
	is($target->safe_psql($database, "$of, '{types,keyed,parted}', definitions => 'keep') WHERE severity <> 'info'"), '', "$version: ... or of a clone into tables that exist, nothing");

	# A chunk is a block. The kinds of chunks are known for large tables that are not partitioned.
	my $split = $version >= 14 ? 'blocks' : 'range';
	my %kinds = (keyed => $split, by_text => $split, by_char => 'nulls,range', nulls => $version >= 14 ? 'blocks' : 'nulls,range', seen => 'whole');
	my @wrong;
	for my $name ((map { $_->[0] } @tables), 'seen', 'kept')
	{
		my $rows = $name eq 'changed' ? 'SELECT id, a, late FROM changed' : $name eq 'by_char' ? 'SELECT k::integer, n FROM by_char' : "SELECT * FROM $name";
		copies_equal($source, $target, name => "$version: $name", from => $name, target_dbname => $database, workers => [3],
			args => $name eq 'by_char' ? q(key => 'k') : undef, kinds => $kinds{$name}, min_chunks => ($kinds{$name} // 'whole') eq 'whole' ? 1 : 3, expected => $rows, actual => $rows);
		# Before version 15, such a character is invalid text, and cannot be compared as text.
		next if $name eq 'by_char' && ($version < 15 || $target_version < 15);
		my $differs = $target->safe_psql($database, "SELECT differs FROM fastcopy.compare('$conninfo', '$name', '$name', 2) WHERE range = 'total'");
		push @wrong, "compare says $differs of $name" if $differs ne 'f';
	}
	is("@wrong", '', "$version: compare agrees with each");
	$target->safe_psql($database, 'UPDATE types SET d = d + 1e-9 WHERE id = 77');
	is($target->safe_psql($database, "SELECT differs FROM fastcopy.compare('$conninfo', 'types', 'types') WHERE range = 'total'"),
		't', "$version: and sees a small difference");
	is($target->safe_psql($database, "SELECT nextval('toasted_id_seq')"), 39, "$version: a sequence goes on");
	is($target->safe_psql($database, 'SELECT fastcopy.copy(' . "'$conninfo', 'keyed', 'keyed', truncate => true, filter => 'id < 0', key => 'id')"),
		1285, "$version: a filter and a key");

	# A failed job continues if no row has changed, whatever else was written.
	for my $changed ('empty', 'keyed')
	{
		$target->safe_psql($database, 'TRUNCATE keyed; ALTER TABLE keyed ADD CONSTRAINT no_more CHECK (id < 5000)');
		run_verbose($target, "SET fastcopy.chunk_size = 8; SELECT fastcopy.copy('$conninfo', 'keyed', 'keyed', 2)", dbname => $database);
		my $job = $target->safe_psql($database, 'ALTER TABLE keyed DROP CONSTRAINT no_more; SELECT max(job) FROM fastcopy.status');
		is($target->safe_psql($database, "SELECT state, chunks_done > 0 FROM fastcopy.status WHERE job = $job"), 'failed|t', "$version: a job fails halfway");
		$source->safe_psql('postgres', $changed eq 'empty' ? 'INSERT INTO empty VALUES (1)' : 'UPDATE keyed SET t = t WHERE id = -8993');
		if ($changed eq 'keyed')
		{
			fails_with($target, "SELECT fastcopy.resume($job)", '55000', qr/chang/, "$version: is not resumed when a row has changed", dbname => $database);
			next;
		}
		is($target->safe_psql($database, "SELECT fastcopy.resume($job) = $job; SELECT fastcopy.wait($job)"), "t\ndone", "$version: is resumed");
		is(rows_of($target, 'SELECT * FROM keyed', $database), rows_of($source, 'SELECT * FROM keyed'), "$version: and each row is there once");
	}
	clone_shop($source, $version);
	$source->stop;
}
plan skip_all => 'there is no server of any version' if !$tried;
done_testing();
