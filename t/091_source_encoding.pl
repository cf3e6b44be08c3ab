# A source whose database is SQL_ASCII, with source_encoding and without it.
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
$source->safe_psql('postgres', "CREATE DATABASE $_->[0] ENCODING '$_->[1]' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
  for [ legacy => 'SQL_ASCII' ], [ latin => 'LATIN1' ];
$target->safe_psql('postgres', "CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
my $legacy = conninfo($source, dbname => 'legacy');

# Data as an application wrote it, in LATIN1: values of all kinds, names of columns, a key, quotes and backslashes
# next to characters that are not ASCII. The database latin has the same, and knows the encoding.
my $table = q(
	CREATE TYPE pair AS (a text, b text);
	CREATE TABLE people (id integer, "größe" numeric, name text, c char(5), v varchar(3), tags text[], both_names pair,
		payload jsonb, bytes bytea);
	INSERT INTO people
	SELECT g, g, chr_of(228 + g % 20) || '\\x' || chr(9) || '"' || chr_of(252) || g, chr_of(252), chr_of(246) || chr_of(246) || chr_of(223),
	       ARRAY[chr_of(228), 'a,"b'], ROW(chr_of(246), 'x\\y'::text)::pair, jsonb_build_object('k' || chr_of(228), chr_of(223)), '\\xe4f6fc'
	FROM generate_series(1, 3000) g;
	CREATE TABLE numbers AS SELECT g AS id, g * 1.5 AS n FROM generate_series(1, 2000) g;
	CREATE TABLE "Straße" (id integer, t text);
	INSERT INTO "Straße" VALUES (1, chr_of(223));
	CREATE TABLE wrong (id integer, t text);
	INSERT INTO wrong VALUES (1, chr_of(129)));
my $latin_bytes = $table =~ s/ö/\xf6/gr =~ s/ß/\xdf/gr;
$source->safe_psql('legacy', "SET client_encoding = 'SQL_ASCII'; CREATE FUNCTION chr_of(integer) RETURNS text LANGUAGE sql AS "
	  . q('SELECT convert_from(set_byte(''\\x00'', 0, $1), ''SQL_ASCII'')'; ) . $latin_bytes);
$source->safe_psql('latin', q(CREATE FUNCTION chr_of(integer) RETURNS text LANGUAGE sql AS 'SELECT chr($1)'; ) . $table);
$target->safe_psql('postgres', q(
	CREATE TYPE pair AS (a text, b text);
	CREATE TABLE people (id integer PRIMARY KEY, "größe" numeric, name text, c char(5), v varchar(3), tags text[], both_names pair,
		payload jsonb, bytes bytea);
	CREATE TABLE "Straße" (id integer, t text);
	CREATE TABLE wrong (id integer, t text);
	CREATE TABLE numbers (id integer, n numeric)));

my @legacy = (source => $legacy);
my $people = rows_of($source, 'SELECT * FROM people', 'latin');
sub copied { return rows_of($target, 'SELECT * FROM people') }

fails_with($target, 'SELECT ' . call_sql('copy', $source, @legacy, source_table => 'people', target_table => 'people'),
	'22021', qr/invalid byte sequence/, 'without it, what is not valid is an error', hint => qr/source_encoding/);
is($target->safe_psql('postgres', 'SET fastcopy.chunk_size = 8; SELECT '
		  . call_sql('copy', $source, @legacy, source_table => 'people', target_table => 'people', source_encoding => 'latin1', workers => 2)),
	3000, 'copied as LATIN1');
is(copied(), $people, 'and so they read');
is($target->safe_psql('postgres', 'SELECT format, source_encoding FROM fastcopy.job JOIN fastcopy.job_table USING (job) ORDER BY job DESC LIMIT 1'), 'text|LATIN1', 'as text');
is($target->safe_psql('postgres', "SELECT DISTINCT differs FROM fastcopy.compare('$legacy', 'people', 'people', source_encoding => 'LATIN1')"),
	'f', 'compare agrees');
is($target->safe_psql('postgres', "SELECT differs FROM fastcopy.compare('$legacy', 'people', 'people', key => 'name', source_encoding => 'LATIN1')"
		  . " WHERE range = 'total'"), 'f', 'by a key that is not ASCII too');
$target->safe_psql('postgres', "UPDATE people SET name = replace(name, 'ü', 'ue') WHERE id = 77");
is($target->safe_psql('postgres', "SELECT differs FROM fastcopy.compare('$legacy', 'people', 'people', source_encoding => 'LATIN1') WHERE range = 'total'"),
	't', 'and sees a difference');

# Statements are converted in the other direction.
is($target->safe_psql('postgres', 'TRUNCATE people; SELECT '
		  . call_sql('copy', $source, @legacy, source_table => 'people', target_table => 'people', source_encoding => 'LATIN1',
			filter => q("größe" > 2990 AND name LIKE '%ü%'), columns => \q('{id,größe,name}'))),
	10, 'a filter and columns that are not ASCII');
is($target->safe_psql('postgres', 'SELECT ' . call_sql('copy', $source, @legacy, source_table => '"Straße"', target_table => '"Straße"',
			source_encoding => 'LATIN1') . q(; SELECT t FROM "Straße")),
	"1\nß", 'a table whose name is not');
fails_with($target, 'SELECT ' . call_sql('copy', $source, @legacy, source_table => 'people', target_table => 'people',
		source_encoding => 'LATIN1', filter => q(name = '€')),
	'22P05', qr/no equivalent in encoding "LATIN1"/, 'what the source cannot have is an error');
fails_with($target, 'SELECT ' . call_sql('copy', $source, @legacy, source_table => 'wrong', target_table => 'wrong', source_encoding => 'WIN1253'),
	'22P05', qr/0x81|no equivalent/, 'what the encoding does not have is an error');
is($target->safe_psql('postgres', 'SELECT ' . call_sql('copy', $source, @legacy, source_table => 'numbers', target_table => 'numbers',
			source_encoding => 'LATIN1') . '; SELECT format FROM fastcopy.status ORDER BY job DESC LIMIT 1'),
	"2000\nbinary", 'what has no text in it goes as binary');

# A resumed job keeps the option.
$target->safe_psql('postgres', 'TRUNCATE people; ALTER TABLE people ADD CONSTRAINT no_more CHECK (id < 2000)');
my ($status, $stdout, $stderr) = run_verbose($target, 'SET fastcopy.chunk_size = 8; SELECT '
	  . call_sql('copy', $source, @legacy, source_table => 'people', target_table => 'people', source_encoding => 'LATIN1', workers => 2));
like($stderr, qr/no_more/, 'a job fails');
my $job = $target->safe_psql('postgres', 'ALTER TABLE people DROP CONSTRAINT no_more; SELECT max(job) FROM fastcopy.status');
is($target->safe_psql('postgres', "SELECT fastcopy.resume($job) = $job; SELECT fastcopy.wait($job)"), "t\ndone", 'and is resumed');
is(copied(), $people, 'in the same encoding');

# Sources for which the option makes no sense.
fails_with($target, 'SELECT ' . call_sql('copy', $source, source => conninfo($source, dbname => 'latin'), source_table => 'people',
		target_table => 'people', source_encoding => 'LATIN1'),
	'22023', qr/SQL_ASCII source only/, 'a source that knows its encoding', detail => qr/LATIN1/);
fails_with($target, "SELECT * FROM fastcopy.compare('" . conninfo($source) . "', 'x', 'people', source_encoding => 'LATIN1')",
	'22023', qr/SQL_ASCII source only/, 'in compare too', detail => qr/UTF8/);
fails_with($target, 'SELECT ' . call_sql('copy', $source, @legacy, source_table => 'people', target_table => 'people', source_encoding => $_),
	'22023', qr/invalid value for argument "source_encoding": "\Q$_\E"/, "not $_")
  for 'SJIS', 'nonsense', 'SQL_ASCII', '';
$target->safe_psql('ascii', 'CREATE EXTENSION pg_fastcopy; CREATE TABLE people (id integer, name text)');
fails_with($target, 'SELECT ' . call_sql('copy', $source, @legacy, source_table => 'people', target_table => 'people', source_encoding => 'LATIN1'),
	'55000', qr/whose encoding is SQL_ASCII/, 'nor into a SQL_ASCII database', dbname => 'ascii');
is($target->safe_psql('ascii', 'SELECT ' . call_sql('copy', $source, @legacy, source_table => 'people', target_table => 'people',
			columns => \q('{id,name}'))), 3000, 'where the bytes are copied as they are');

done_testing();
