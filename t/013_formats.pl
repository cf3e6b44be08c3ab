# What is sent in binary, what as text, and that both arrive.
#
# The format of a COPY applies to all of its columns. Binary is several times cheaper, and wrong wherever the two
# servers do not agree on the bytes: OIDs of types, of relations and of roles differ between clusters. To make them
# differ here, the target has created and dropped objects before, so that no OID assigned after initdb is the same on
# both sides.
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

$target->safe_psql('postgres', join "\n", map { "CREATE TYPE spent_$_ AS ENUM ('a', 'b');" } 1 .. 50);
on_both(
	q(
	CREATE SCHEMA elsewhere;
	CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'happy');
	CREATE TYPE pair AS (a integer, b text);
	CREATE TYPE moods AS (m mood, p pair, at timestamptz);
	CREATE TYPE span AS RANGE (subtype = float8);
	CREATE TYPE moodspan AS RANGE (subtype = mood);
	CREATE DOMAIN short AS varchar(20) CHECK (VALUE <> 'never');
	CREATE DOMAIN pairs AS pair;
	CREATE TYPE shortspan AS RANGE (subtype = short);
	CREATE DOMAIN spans AS shortspan CHECK (NOT isempty(VALUE));
	CREATE DOMAIN many_spans AS shortspan_multirange;
	CREATE TYPE ranged AS (one spans, many many_spans, all_of moodspan_multirange[]);
	CREATE TABLE thing (id integer);
	CREATE FUNCTION think(integer) RETURNS integer LANGUAGE sql AS 'SELECT $1';
	CREATE ROLE "some body"));
my %has = map { $_ => 1 } split /\n/,
  $source->safe_psql('postgres', 'SELECT name FROM pg_available_extensions');
for my $extension (grep { $has{$_} } qw(citext hstore ltree cube isn seg))
{
	on_both("CREATE EXTENSION $extension");
}
my $has_xml = $source->safe_psql('postgres',
	q(SELECT count(*) FROM pg_config WHERE name = 'CONFIGURE' AND setting LIKE '%--with-libxml%'));

# Each case: the type on the source, the type on the target if it differs, an expression of g, and the expected
# format.
my @columns = (
	[ 'integer', undef, 'g', 'binary' ],
	[ 'smallint', undef, 'g', 'binary' ],
	[ 'bigint', undef, 'g * -5000000000', 'binary' ],
	[ 'integer', 'bigint', 'g', 'text' ],
	[ 'bigint', 'integer', 'g', 'text' ],
	[ 'integer', 'numeric(10,2)', 'g', 'text', '(v::text || \'.00\')' ],
	[ 'integer', 'text', '-g', 'text' ],
	[ 'real', undef, 'g / 3.0', 'binary' ],
	[ 'double precision', undef, q(CASE g % 4 WHEN 0 THEN 'NaN' WHEN 1 THEN '-Infinity' ELSE g / 3.0 END), 'binary' ],
	[ 'real', 'double precision', 'g / 4.0', 'text' ],
	[ 'numeric', undef, q(CASE g % 9 WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' ELSE 10::numeric ^ (g % 200 - 100) END), 'binary' ],
	[ 'numeric(20,6)', undef, 'g / 7.0', 'binary' ],
	[ 'numeric', 'numeric(20,6)', 'round(g / 8.0, 6)', 'binary' ],
	[ 'text', undef, q(CASE g % 7 WHEN 0 THEN E'a\tb\nc\\\\N\r' WHEN 1 THEN '' WHEN 2 THEN '\N' WHEN 3 THEN 'É日本' WHEN 4 THEN '\.' ELSE g::text END), 'binary' ],
	[ 'text', 'varchar(40)', 'md5(g::text)', 'binary' ],
	[ 'varchar(40)', 'text', 'md5(g::text)', 'binary' ],
	[ 'char(10)', undef, q('ab' || g % 7), 'binary' ],
	[ 'char(10)', 'text', q('ab' || g % 7), 'text', 'v::char(10)' ],
	[ '"char"', undef, q((g % 256 - 128)::"char"), 'binary' ],
	[ 'name', undef, 'md5(g::text)', 'binary' ],
	[ 'bytea', undef, q(decode(md5(g::text), 'hex') || '\x00ff5c'), 'binary' ],
	[ 'boolean', undef, 'g % 2 = 0', 'binary' ],
	[ 'uuid', undef, 'md5(g::text)::uuid', 'binary' ],
	[ 'date', undef, q(CASE g % 9 WHEN 0 THEN 'infinity' WHEN 1 THEN '4713-01-01 BC' WHEN 2 THEN '5874897-12-31' ELSE '1999-12-01'::date + g END), 'binary' ],
	[ 'timestamp', undef, q(CASE g % 9 WHEN 0 THEN '-infinity' WHEN 1 THEN '0044-03-15 12:00 BC' ELSE '1999-12-01'::timestamp + g * interval '1.000001 hour' END), 'binary' ],
	[ 'timestamptz', undef, q(CASE g % 9 WHEN 0 THEN 'infinity' WHEN 1 THEN '1800-01-01 00:00+00' ELSE '1999-12-01'::timestamptz + g * interval '1.000001 hour' END), 'binary' ],
	[ 'timestamptz', 'timestamp', q('2024-06-01 12:00+00'::timestamptz), 'text', q(timestamp '2024-06-01 12:00') ],
	[ 'time', undef, q('00:00'::time + g * interval '1.5 seconds'), 'binary' ],
	[ 'timetz', undef, q(('00:00'::time + g * interval '1.5 seconds') AT TIME ZONE '+03:30'), 'binary' ],
	[ 'interval', undef, q((g - 50) * interval '1 year 2 mons -3 days 04:05:06.789'), 'binary' ],
	[ 'money', undef, q((g * 12.34)::numeric::money), 'text' ],
	[ 'inet', undef, q('192.168.0.0/16'::inet + g), 'binary' ],
	[ 'cidr', undef, q('2001:db8::/32'), 'binary' ],
	[ 'macaddr', undef, q('08:00:2b:01:02:03'), 'binary' ],
	[ 'bit(12)', undef, 'g::bit(12)', 'binary' ],
	[ 'bit varying', undef, 'substring(g::bit(12) FROM 1 FOR g % 13)', 'binary' ],
	[ 'json', undef, q(('{"a" :  ' || g || ', "a": "\u00e9"}')::json), 'binary' ],
	[ 'jsonb', undef, q(jsonb_build_object('a', g, 'é', ARRAY[NULL, 'x"y'])), 'binary' ],
	[ 'json', 'jsonb', q(('{"a": ' || g || '}')::json), 'text' ],
	[ 'jsonpath', undef, q('$.a[*] ? (@ > 1)'), 'binary' ],
	[ 'tsvector', undef, q(to_tsvector('simple', 'the quick ''brown'' fox ' || g)), 'binary' ],
	# An empty one cannot be received in binary.
	[ 'tsquery', undef, q{CASE g % 3 WHEN 0 THEN '' ELSE 'fat & (rat:ab* | cat)' END}, 'text' ],
	[ 'point', undef, 'point(g / 3.0, -g)', 'binary' ],
	[ 'polygon', undef, q('((0,0),(1,2.5),(3,1e-7))'), 'binary' ],
	[ 'pg_lsn', undef, q('16/B374D848'), 'binary' ],
	[ 'xid8', undef, q(g::text::xid8), 'binary' ],
	[ 'oid', undef, 'g::oid', 'binary' ],
	[ 'int4range', undef, q(CASE WHEN g % 5 = 0 THEN 'empty' ELSE int4range(g, NULL) END), 'binary' ],
	[ 'tstzrange', undef, q(tstzrange('-infinity', '2024-01-01 00:00+00', '[]')), 'binary' ],
	[ 'nummultirange', undef, q{'{[1.5,2),(3,)}'}, 'binary' ],
	[ 'integer[]', undef, 'ARRAY[[g, NULL], [1, 2]]', 'binary' ],
	[ 'text[]', undef, q(ARRAY['a,b', '{}', 'NULL', NULL, '', '"', 'back\slash', 'É']), 'binary' ],
	[ 'integer[]', undef, q('[-3:-2]={7,8}'), 'binary' ],
	[ 'integer[]', 'bigint[]', 'ARRAY[g, NULL]', 'text' ],
	[ 'timestamptz[]', undef, q(ARRAY['2024-01-01 00:00+00'::timestamptz, 'infinity']), 'binary' ],
	[ 'varchar(5)[]', undef, q(ARRAY['abc', NULL]), 'binary' ],
	[ 'numeric(8,2)[]', undef, 'ARRAY[g / 3.0]', 'binary' ],

	# These are names as text and OIDs in binary, which differ between clusters.
	[ 'regclass', undef, q('thing'::regclass), 'text' ],
	[ 'regtype', undef, q('mood'::regtype), 'text' ],
	[ 'regtype[]', undef, q(ARRAY['mood'::regtype, 'integer']), 'text' ],
	[ 'regproc', undef, q('think'::regproc), 'text' ],
	[ 'regprocedure', undef, q('think(integer)'::regprocedure), 'text' ],
	[ 'regrole', undef, q('"some body"'::regrole), 'text' ],
	[ 'regnamespace', undef, q('elsewhere'::regnamespace), 'text' ],
	[ 'regconfig', undef, q('english'::regconfig), 'text' ],
	[ 'aclitem', undef, q(makeaclitem('"some body"'::regrole, 10, 'SELECT', false)), 'text' ],
	[ 'aclitem[]', undef, q(ARRAY[makeaclitem('"some body"'::regrole, 10, 'SELECT', false)]), 'text' ],

	# User-defined types: the labels of an enum and the bytes of a base type are the same everywhere; those of all
	# types made of other types are not.
	[ 'mood', undef, q((enum_range(NULL::mood))[1 + g % 3]), 'binary' ],
	[ 'mood', 'text', q((enum_range(NULL::mood))[1 + g % 3]), 'text' ],
	[ 'text', 'mood', q((enum_range(NULL::mood))[1 + g % 3]::text), 'text' ],
	[ 'mood[]', undef, q(ARRAY['sad'::mood, NULL, 'it''s ok']), 'text' ],
	[ 'pair', undef, q{(g, 'a,"b)' || g)::pair}, 'text' ],
	[ 'pair[]', undef, q(ARRAY[(g, NULL)::pair, NULL]), 'text' ],
	[ 'moods', undef, q(('sad', (1, 'x')::pair, '2024-01-01 00:00+00')::moods), 'text' ],
	[ 'thing', undef, 'ROW(g)::thing', 'text' ],
	[ 'span', undef, 'span(g / 3.0, g)', 'text' ],
	[ 'moodspan', undef, q(moodspan('sad', 'happy')), 'text' ],
	[ 'moodspan[]', undef, q(ARRAY[moodspan('sad', 'happy'), NULL, 'empty']), 'text' ],
	[ 'span_multirange', undef, q(span_multirange(span(g, g + 1.5), span(g + 3, NULL))), 'text' ],
	[ 'moodspan_multirange', undef, q{'{[sad,"it''s ok"),[happy,)}'}, 'text' ],
	[ 'moodspan_multirange[]', undef, q{ARRAY['{[sad,happy)}'::moodspan_multirange, '{}', NULL]}, 'text' ],
	[ 'shortspan', undef, q{shortspan('a"' || g, NULL, '(]')}, 'text' ],
	[ 'shortspan[]', undef, q(ARRAY[shortspan('é', 'é,' || g), NULL, 'empty']), 'text' ],
	[ 'shortspan_multirange', undef, q{'{[a,"b b"),["x,",)}'}, 'text' ],
	[ 'shortspan_multirange[]', undef, q{ARRAY['{[a,b)}'::shortspan_multirange, '{}', NULL]}, 'text' ],
	[ 'spans', undef, q(shortspan('a', 'b' || g)), 'text' ],
	[ 'spans[]', undef, q(ARRAY[shortspan('a', 'b' || g)]::spans[]), 'text' ],
	[ 'many_spans', undef, q{'{[a,b),[c,)}'}, 'text' ],
	[ 'ranged', undef, q{ROW(shortspan('a', 'b' || g), '{[a,b)}', ARRAY['{[sad,happy)}'::moodspan_multirange])::ranged}, 'text' ],
	[ 'ranged[]', undef, q{ARRAY[ROW(shortspan('a', 'b' || g), NULL, '{}')::ranged, NULL]}, 'text' ],
	[ 'short', undef, q('é' || g), 'binary' ],
	[ 'short', 'text', q('é' || g), 'binary' ],
	[ 'text', 'short', q('é' || g), 'binary' ],
	[ 'short[]', undef, q(ARRAY['a'::short, NULL]), 'text' ],
	[ 'pairs', undef, q((g, 'x')::pair::pairs), 'text' ],
	[ 'information_schema.cardinal_number', undef, 'g', 'binary' ],
);
push @columns, [ 'citext', undef, q('É' || g), 'binary' ], [ 'citext', 'text', q('É' || g), 'text' ],
  [ 'citext[]', undef, q(ARRAY['É'::citext]), 'text' ] if $has{citext};
push @columns, [ 'hstore', undef, q(hstore(ARRAY['a', g::text, 'é"', NULL])), 'binary' ] if $has{hstore};
push @columns, [ 'ltree', undef, q(('a.b.c' || g)::ltree), 'binary' ] if $has{ltree};
push @columns, [ 'cube', undef, 'cube(ARRAY[g, 1.5])', 'binary' ] if $has{cube};
push @columns, [ 'seg', undef, q('1.5e-1 .. 2.0'), 'text' ] if $has{seg};
push @columns, [ 'ean13', undef, q('978-0-393-04002-9'), 'text' ] if $has{isn};
push @columns, [ 'xml', undef, q(('<?xml version="1.0" encoding="UTF-8"?><a b="é">' || g || '</a>')::xml), 'binary' ],
  [ 'xml', undef, q(('<a/>text<b>' || g || '</b>')::xml), 'binary' ],
  [ 'xml', undef, q(xmlparse(DOCUMENT '<!DOCTYPE a><a>' || g || '</a>')), 'binary' ]
  if $has_xml;

# One table with all columns of a format would be faster, but would not show which column failed; further below there
# is such a table too.
my $number = 0;
my %together;
for my $column (@columns)
{
	my ($type, $target_type, $value, $format, $expected) = @$column;
	my $table = 'typed_' . ++$number;
	my $to    = defined $target_type ? $target_type : $type;
	$source->safe_psql(
		'postgres', qq(
		SET timezone = 'UTC';
		CREATE TABLE $table (id integer, v $type);
		INSERT INTO $table SELECT g, CAST(CASE WHEN g % 10 > 0 THEN $value END AS $type) FROM generate_series(1, 100) g));
	$target->safe_psql('postgres', "CREATE TABLE $table (id integer, v $to)");
	my $query = defined $expected
	  ? "SELECT id, CASE WHEN v IS NOT NULL THEN $expected END FROM $table"
	  : "SELECT * FROM $table";
	copies_equal(
		$source, $target,
		name => $type . (defined $target_type ? " into $target_type" : ''),
		from => $table, expected => $query, format => $format, workers => [2]);
	push @{ $together{$format} }, [ $table, $type, $value ] if !defined $target_type;
}
for my $format (sort keys %together)
{
	my $n       = 0;
	my $columns = join ', ', map { 'v' . ++$n . " $_->[1]" } @{ $together{$format} };
	my $values  = join ', ', map { "CAST(CASE WHEN g % 10 > 0 THEN $_->[2] END AS $_->[1])" } @{ $together{$format} };
	on_both("CREATE TABLE all_$format (id integer, $columns)");
	$source->safe_psql('postgres',
		"SET timezone = 'UTC'; INSERT INTO all_$format SELECT g, $values FROM generate_series(1, 300) g");
	copies_equal($source, $target, name => "all of those in $format", from => "all_$format",
		format => $format, workers => [ 1, 4 ]);
}

# Types of the same name may differ, and types of different names may be the same.
$source->safe_psql(
	'postgres', q(
	CREATE TYPE elsewhere.colour AS ENUM ('red', 'green');
	CREATE TABLE coloured (id integer, v elsewhere.colour);
	INSERT INTO coloured SELECT g, (ARRAY['red', 'green'])[1 + g % 2]::elsewhere.colour FROM generate_series(1, 100) g;
	CREATE TABLE mixed_up (id integer, v pair);
	INSERT INTO mixed_up SELECT g, (g, 'x')::pair FROM generate_series(1, 100) g));
$target->safe_psql(
	'postgres', q(
	CREATE TYPE hue AS ENUM ('green', 'blue', 'red');
	CREATE TABLE coloured (id integer, v hue);
	CREATE TYPE elsewhere.pair AS (a text, b text);
	CREATE TABLE mixed_up (id integer, v elsewhere.pair)));
copies_equal($source, $target, name => 'enum of another name and order', from => 'coloured', format => 'binary', workers => [2]);
copies_equal($source, $target, name => 'composite type of another make', from => 'mixed_up', format => 'text', workers => [2]);
$target->safe_psql('postgres', q(CREATE TYPE hue_less AS ENUM ('green'); CREATE TABLE colourless (id integer, v hue_less)));
fails_with($target,
	sprintf(q(SELECT fastcopy.copy('%s', 'coloured', 'colourless')), conninfo($source)),
	'22P02', qr/invalid input value for enum hue_less: "red"/, 'enum without that label', context => qr/column v/);

# The length of a type is enforced in binary as in text.
my $conninfo = conninfo($source);
$source->safe_psql(
	'postgres', q(
	CREATE TABLE lengths (v varchar, c char(9), n numeric, b varbit, t timestamp);
	INSERT INTO lengths VALUES ('too long', 'too long', 123.456, B'10101', '2024-01-01 00:00:00.123456')));
for my $case (
	[ 'v varchar(5)', '22001', qr/value too long for type character varying\(5\)/ ],
	[ 'c char(5)',    '22001', qr/value too long for type character\(5\)/ ],
	[ 'n numeric(4,2)', '22003', qr/numeric field overflow/ ],
	[ 'b varbit(3)', '22001', qr/bit string too long for type bit varying\(3\)/ ])
{
	my ($column, $sqlstate, $message) = @$case;
	my ($name) = $column =~ /^(\w)/;
	$target->safe_psql('postgres', "DROP TABLE IF EXISTS lengths; CREATE TABLE lengths ($column)");
	fails_with($target, "SELECT fastcopy.copy('$conninfo', 'lengths', 'lengths', columns => ARRAY['$name'])",
		$sqlstate, $message, "value that does not fit $column");
	is($target->safe_psql('postgres', 'SELECT format FROM fastcopy.status ORDER BY job DESC LIMIT 1'),
		'binary', "... in binary");
}
$target->safe_psql('postgres', 'DROP TABLE lengths; CREATE TABLE lengths (t timestamp(3), n numeric(6,1))');
copies_equal($source, $target, name => 'values that are rounded to fit', from => 'lengths', workers => [1],
	args => q(columns => ARRAY['t', 'n']), expected => 'SELECT t::timestamp(3), n::numeric(6,1) FROM lengths', format => 'binary');

no_leftovers($source, $target, 'all formats');
done_testing();
