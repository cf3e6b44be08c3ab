# What a table needs beside its rows: functions that rely on a search_path, composite types, rows without columns, and
# the sequences that the next INSERT uses.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyCompare;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair();
my $conninfo = conninfo($source);

# The search_path. PostgreSQL inlines SQL functions during planning, and resolves the names in their bodies by the
# session's search_path; those in a PL/pgSQL function are resolved when it runs.
#
# From version 17 on, indexes are built, truncated and analyzed under a search_path of their own. So on the source
# such a function gets its body after the indexes that call it, as may be the case after an upgrade.
on_both(q(
	CREATE FUNCTION pub_inner(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
	CREATE FUNCTION pub_outer(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT public.pub_inner($1)';
	CREATE FUNCTION at_run_time(integer) RETURNS integer LANGUAGE plpgsql STABLE AS 'BEGIN RETURN pub_inner($1); END';
	CREATE TABLE by_index (id integer PRIMARY KEY, a text);
	CREATE INDEX ON by_index (pub_outer(id));
	CREATE STATISTICS by_index_too ON (pub_outer(id)), a FROM by_index;
	CREATE TABLE by_check (id integer, a text, CHECK (pub_outer(id) > 0));
	CREATE TABLE by_column (id integer, twice integer GENERATED ALWAYS AS (pub_outer(id)) STORED);
	CREATE DOMAIN even_number AS integer CHECK (pub_outer(VALUE) % 4 = 0);
	CREATE TABLE by_domain (id even_number);
	CREATE TABLE by_view (id integer, twice integer);
	CREATE TABLE by_plpgsql (id integer, twice integer);
	CREATE TABLE by_name (id integer, object regclass);
	CREATE INDEX ON by_name (pub_outer(id));
	CREATE TABLE parent (id integer, a text);
	CREATE TABLE child () INHERITS (parent);
	CREATE INDEX ON child (pub_outer(id))));
$_->safe_psql('postgres', q(CREATE OR REPLACE FUNCTION pub_outer(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT pub_inner($1)'))
  for $source, major_version($target) < 17 ? $target : ();
$source->safe_psql('postgres', q(
	INSERT INTO by_index SELECT g, repeat('x', 100) FROM generate_series(1, 2000) g;
	INSERT INTO by_check SELECT g, repeat('x', 100) FROM generate_series(1, 2000) g;
	INSERT INTO by_column (id) SELECT g FROM generate_series(1, 2000) g;
	INSERT INTO by_domain SELECT g * 2 FROM generate_series(1, 2000) g;
	INSERT INTO by_name VALUES (1, 'by_index');
	INSERT INTO child SELECT g, 'c' FROM generate_series(1, 2000) g;
	DROP TABLE by_view, by_plpgsql;
	CREATE VIEW by_view AS SELECT id, pub_outer(id) AS twice FROM by_index;
	CREATE VIEW by_plpgsql AS SELECT id, at_run_time(id) AS twice FROM by_index;
	ALTER DATABASE postgres SET constraint_exclusion = 'on'));
$source->safe_psql('postgres', 'ANALYZE by_index') if major_version($source) < 17;

copies_equal($source, $target, name => "index on a function that calls $_->[0]", from => 'public.by_index', workers => [2], %{ $_->[1] })
  for ['another without a schema', { min_chunks => 20, kinds => 'blocks' }],
  ['one, with a filter',   { args => "filter => 'pub_outer(id) > 2000'", expected => 'SELECT * FROM by_index WHERE id > 1000', actual => 'SELECT * FROM by_index'}],
  ['one, split by a key',  { args => "key => 'id'", kinds => 'range' }];
copies_equal($source, $target, name => "$_", from => "public.$_", workers => [2])
  for qw(by_check by_column by_domain by_view by_plpgsql parent);
like(compare_total('public.by_index', 'public.by_index'), qr/\|f$/, 'and compare too');
like(compare_total('public.by_index', 'public.by_index', q(filter => 'pub_outer(id) > 2000')), qr/\|f$/, 'with a filter that needs a search_path');
like(compare_total('public.by_plpgsql', 'public.by_plpgsql'), qr/\|f$/, 'and a view that needs one in the middle of its rows');
fails_with($target, 'SELECT ' . call_sql('copy', $source, source_table => 'by_name', target_table => 'by_name'),
	'42883', qr/pub_inner/, 'not where names of objects would lose their schemas');
$target->safe_psql('postgres', 'CREATE TABLE by_name_as_text (id integer, object text)');
fails_with($target, 'SELECT ' . call_sql('copy', $source, source_table => 'by_name', target_table => 'by_name_as_text'),
	'42883', qr/pub_inner/, 'nor where they become text here');
fails_with($target, "SELECT fastcopy.compare('$conninfo', 'by_name', 'by_name')",
	'0A000', qr/types like regclass/, 'nor compared');

# Our statements find none of their functions and operators in a schema that others can write to, whatever the role's
# search_path: that schema has each function and operator that our statements could resolve to, with the exact types,
# and each raises an error.
$source->safe_psql('postgres', q(
	CREATE TABLE caught (what text);
	CREATE SCHEMA bait;
	CREATE FUNCTION bait.spring(text) RETURNS boolean LANGUAGE plpgsql AS
		$$BEGIN RAISE EXCEPTION 'caught by %', $1; END$$));
$source->safe_psql('postgres', q(
	SELECT format('CREATE FUNCTION bait.f%s(%s) RETURNS %s LANGUAGE plpgsql AS $x$BEGIN PERFORM bait.spring(%L); END$x$;
	               CREATE OPERATOR bait.%s (FUNCTION = bait.f%s, LEFTARG = %s, RIGHTARG = %s)',
	              row_number() OVER (), concat_ws(', ', l, r), CASE WHEN o IN ('+', '-', '*', '/', '&', '||') THEN l ELSE 'boolean' END,
	              o || l || r, o, row_number() OVER (), l, r)
	FROM unnest(ARRAY['=', '<', '>', '<=', '>=', '<>', '+', '-', '*', '/', '&', '||']) o,
	     unnest(ARRAY['oid', 'tid', 'integer', 'bigint', 'text', 'name', 'timestamp', 'regclass', '"char"']) l,
	     unnest(ARRAY['oid', 'tid', 'integer', 'bigint', 'text', 'name', 'timestamp', 'regclass', '"char"']) r
	\gexec
	CREATE FUNCTION bait.count() RETURNS bigint LANGUAGE plpgsql AS $x$BEGIN PERFORM bait.spring('count'); END$x$;
	CREATE FUNCTION bait.min(integer) RETURNS bigint LANGUAGE plpgsql AS $x$BEGIN PERFORM bait.spring('min'); END$x$;
	CREATE ROLE prey SUPERUSER LOGIN;
	ALTER ROLE prey SET search_path = bait, public, pg_catalog));
my %prey = (source_words => { user => 'prey' });
copies_equal($source, $target, name => "bait on the way: $_->[0]", from => 'public.by_index', workers => [2], %prey, %{ $_->[1] })
  for ['blocks', {}], ['a key', { args => "key => 'id'" }], ["a filter", { args => "filter => 'true'" }];
copies_equal($source, $target, name => 'bait on the way: a view', from => 'public.by_plpgsql', workers => [2], %prey);
is($target->safe_psql('postgres',
		"SELECT differs FROM fastcopy.compare('$conninfo user=prey', 'by_index', 'by_index') WHERE range = 'total'"),
	'f', 'bait on the way: compare');

# A resumed job determines the search_path again.
my $job = $target->safe_psql('postgres', q(TRUNCATE by_index; SET fastcopy.chunk_size = 8; SELECT ) .
	  call_sql('start', $source, source_table => 'by_index', target_table => 'by_index'));
$target->safe_psql('postgres', "SELECT fastcopy.cancel($job); SELECT fastcopy.wait($job)");
if ($target->safe_psql('postgres', "SELECT state FROM fastcopy.status WHERE job = $job") eq 'cancelled')
{
	$target->safe_psql('postgres', "SELECT fastcopy.resume($job); SELECT fastcopy.wait($job)");
}
is(table_digest($target, 'by_index'), table_digest($source, 'by_index'), 'resumed under the search_path that it needs');

# Composite types: attributes match by position, so the positions must be the same.
my %type_of = (
	composite => 'pair',
	array     => 'pair[]',
	domain    => 'pair_domain',
	nested    => 'outer_pair',
	range     => 'pair_range',
	multirange => 'pair_multirange',
	array_of_domain => 'pair_domain[]',
	row_type  => 'pair_table');
my $types = q(
	CREATE SCHEMA places;
	SET search_path = places;
	CREATE TYPE pair AS (%s);
	CREATE DOMAIN pair_domain AS pair;
	CREATE TYPE outer_pair AS (n integer, inner_pair pair_domain);
	CREATE TYPE pair_range AS RANGE (SUBTYPE = pair, MULTIRANGE_TYPE_NAME = pair_multirange);
	CREATE TABLE pair_table (gone integer, %s);
	ALTER TABLE pair_table DROP gone;
);
$types .= "CREATE TABLE of_$_ (id integer, v $type_of{$_}, as_text $type_of{$_});" for sort keys %type_of;
my %order = (same => 'a integer, b integer', swapped => 'b integer, a integer', more => 'a integer, b integer, c integer',
	fewer => 'a integer', wider => 'a bigint, b text');
$source->safe_psql('postgres', sprintf $types, ($order{same}) x 2);
$target->safe_psql('postgres', sprintf $types, ($order{same}) x 2);
$source->safe_psql('postgres', q(
	INSERT INTO places.of_composite VALUES (1, '(1,2)'), (2, NULL);
	INSERT INTO places.of_array VALUES (1, '{"(1,2)","(3,4)"}');
	INSERT INTO places.of_nested VALUES (1, '(5,"(1,2)")');
	INSERT INTO places.of_range VALUES (1, '["(1,2)","(3,4)"]')));
copies_equal($source, $target, name => "composites that are the same: $_", from => "places.of_$_", workers => [1])
  for sort keys %type_of;
for my $case ([swapped => qr/Attribute 1 is "a" on the source and "b" on the target/],
	[more => qr/Attribute "c" exists on the target only/], [fewer => qr/Attribute "b" exists on the source only/])
{
	my ($order, $detail) = @$case;
	$target->safe_psql('postgres', 'SET client_min_messages = error; DROP SCHEMA places CASCADE;' . sprintf $types, ($order{$order}) x 2);
	for my $table (map { "places.of_$_" } sort keys %type_of)
	{
		fails_with($target, 'SELECT ' . call_sql('copy', $source, source_table => $table, target_table => $table),
			'42804', qr/composite type places\.pair(_table)? of column "v" differs between source and target/, "$order: $table", detail => $detail);
	}
	fails_with($target, "SELECT fastcopy.compare('$conninfo', 'places.of_nested', 'places.of_nested')",
		'42804', qr/composite type/, "$order: compare", detail => $detail);
	$target->safe_psql('postgres', 'SELECT '
		  . call_sql('copy', $source, source_table => 'places.of_nested', target_table => 'places.of_nested', columns => \q('{id}')));
}
$target->safe_psql('postgres', 'SET client_min_messages = error; DROP SCHEMA places CASCADE;' . sprintf $types, ($order{wider}) x 2);
is($target->safe_psql('postgres', 'SELECT '
		  . call_sql('copy', $source, source_table => 'places.of_nested', target_table => 'places.of_nested')),
	1, 'the types of attributes may differ');
is($target->safe_psql('postgres', 'SELECT v FROM places.of_nested'), '(5,"(1,2)")', 'and the values are right');

# Rows without columns to copy.
on_both(q(
	CREATE TABLE generated_only (g integer GENERATED ALWAYS AS (42) STORED);
	CREATE TABLE no_columns ();
	CREATE TABLE counted (g integer GENERATED ALWAYS AS (42) STORED)));
$target->safe_psql('postgres', q(ALTER TABLE counted ADD id serial, ADD made_here text DEFAULT 'here';
	CREATE TABLE routed (id serial, g integer GENERATED ALWAYS AS (42) STORED) PARTITION BY HASH (id);
	CREATE TABLE routed_0 PARTITION OF routed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
	CREATE TABLE routed_1 PARTITION OF routed FOR VALUES WITH (MODULUS 2, REMAINDER 1)));
$source->safe_psql('postgres', qq(INSERT INTO $_ SELECT FROM generate_series(1, 3000))) for qw(generated_only no_columns counted);
copies_equal($source, $target, name => "rows of $_", from => $_, workers => [ 1, 3 ]) for qw(generated_only no_columns);
copies_equal($source, $target, name => 'rows that the target fills', from => 'counted', workers => [ 1, 3 ], min_chunks => 2,
	expected => "SELECT 42, 'here' FROM counted", actual => 'SELECT g, made_here FROM counted');
is($target->safe_psql('postgres', 'SELECT count(DISTINCT id) FROM counted'), 3000, 'each with its own defaults');
copies_equal($source, $target, name => 'rows for partitions', from => 'counted', to => 'routed', workers => [2],
	expected => 'SELECT 42 FROM counted', actual => 'SELECT g FROM routed');
like(compare_total('generated_only', 'generated_only'), qr/\|f$/, 'compared');

done_testing();
