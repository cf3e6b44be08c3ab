# The extremes of every built-in type: as a column and as an array, by the fast path; then as a domain, in a composite type,
# and in arrays of both, as text.
#
# The catalog says which types there are: one that this file has no values for fails the test.
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
my $version = major_version($source);

# No OID assigned after initdb is the same on both sides.
$target->safe_psql('postgres', join "\n", map { "CREATE TYPE spent_$_ AS ENUM ('a');" } 1 .. 30);

# Expressions, each cast to the type. All types have NULL beside these.
my $all_bytes = q((SELECT decode(string_agg(lpad(to_hex(i), 2, '0'), ''), 'hex') FROM generate_series(0, 255) i));
my $all_ascii = q((SELECT string_agg(chr(i), '') FROM generate_series(1, 127) i));
my %values = (
	bool    => [qw('f' 't')],
	int2    => [ '-32768', '0', '32767' ],
	int4    => [ q('-2147483648'), '0', '2147483647' ],
	int8    => [ q('-9223372036854775808'), '0', '9223372036854775807' ],
	float4  => [ map { "'$_'" } qw(-3.4028235e38 3.4028235e38 1e-45 1.17549435e-38 0.1 0 -0 NaN Infinity -Infinity) ],
	float8  => [ map { "'$_'" } qw(-1.7976931348623157e308 1.7976931348623157e308 5e-324 2.2250738585072014e-308 0.1 0 -0 NaN Infinity -Infinity) ],
	numeric => [
		q(repeat('9', 131072) || '.' || repeat('9', 16383)), q('-' || repeat('9', 131072)), q('0.' || repeat('0', 16382) || '1'), q('0.' || repeat('0', 16383)),
		map { "'$_'" } qw(0 -0.0 0.000 1 9999 10000 99999999 1e4000 -1e-4000 123456789.000000000 NaN Infinity -Infinity)
	],
	money   => [ q('-92233720368547758.08'), q('0'), q('92233720368547758.07') ],
	text    => [ q(''), q(' '), $all_ascii, q(repeat('ä日' || chr(128512), 100000)), q(chr(1114111)), q('\N'), q('\.'), q('NULL') ],
	varchar => [ q(''), $all_ascii, q(repeat('é', 100000)) ],
	bpchar  => [ q(''), q('a   '), q(repeat('é', 5000)) ],
	name    => [ q(''), q(repeat('n', 63)), q(repeat('é', 31) || 'n') ],
	# Before version 16, text of bytes that are no character was not valid.
	char     => [ q(''), q('a'), q('127'), $version < 16 ? () : (map { qq(($_)::"char") } -128, -1, 1, 127) ],
	bytea    => [ q(''), $all_bytes, q(decode(repeat('005cff', 50000), 'hex')) ],
	date     => [ map { "'$_'" } '4714-11-24 BC', '0001-12-31 BC', '0001-01-01', '2000-02-29', '5874897-12-31', 'infinity', '-infinity' ],
	time     => [ map { "'$_'" } '00:00', '23:59:59.999999', '24:00' ],
	timetz   => [ map { "'$_'" } '00:00+15:59:59', '23:59:59.999999-15:59:59', '24:00-15:59:59' ],
	timestamp   => [ map { "'$_'" } '4714-11-24 00:00 BC', '1999-12-31 23:59:59.999999', '2000-01-01', '294276-12-31 23:59:59.999999', 'infinity', '-infinity' ],
	timestamptz => [ map { "'$_'" } '4714-11-24 00:00+00 BC', '1999-12-31 23:59:59.999999+00', '1883-11-18 12:03:58-08', '294276-12-31 23:59:59.999999+00', 'infinity', '-infinity' ],
	interval => [
		# Before version 15, input overflows earlier.
		map({ "'$_'" } '0', $version < 15 ? ('178000000 years 2147483646 days', '-178000000 years -2147483647 days') :
			  ('178956970 years 6 mons 2147483646 days 2562047788:00:54.775806', '-178956970 years -7 mons -2147483647 days -2562047788:00:54.775806'),
			'1 year -2 mons 3 days -04:05:06.000001', $version < 17 ? () : ('infinity', '-infinity'))
	],
	uuid => [ q(repeat('0', 32)), q(repeat('f', 32)), q('00112233-4455-6677-8899-aabbccddeeff') ],
	json => [ q('{}'), q('[]'), q('null'), q('""'), q(repeat('[', 1000) || repeat(']', 1000)), q('{"a" :  1e400, "a": "\u0041\ud83d\ude00\n"}'), q('"' || repeat('x', 100000) || '"') ],
	jsonb => [
		q('{}'), q('[]'), q('null'), q('""'), q('true'), q(repeat('[', 1000) || repeat(']', 1000)), q('{"": {"": [[], {}, [null, false]]}}'),
		q('-0.0'), q('1e400'), q('[1e131071, 0.' || repeat('0', 1000) || '1, -1]'), q('{"a": "\u0001\u0041\ud83d\ude00\\\\\""}'), q('"' || repeat('é', 100000) || '"'),
		q((SELECT jsonb_object_agg('key ' || i, i) FROM generate_series(1, 2000) i))
	],
	jsonpath => [ map { "'$_'" } '$', 'strict $.a[*] ? (@ > 1 && exists (@.b))', 'lax $.**{2 to last}.type()', '$."é" ? (@ like_regex "^a" flag "i")' ],
	xml      => [ q(''), q('<a/>'), q('text <b>é</b>'), q('<!DOCTYPE a><a b="1">&lt;</a>') ],
	inet     => [ map { "'$_'" } '0.0.0.0/0', '255.255.255.255', '10.1.2.3/8', '::/0', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '::ffff:1.2.3.4/97' ],
	cidr     => [ map { "'$_'" } '0.0.0.0/0', '255.255.255.255/32', '10.0.0.0/8', '::/0', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128' ],
	macaddr  => [ map { "'$_'" } '00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff' ],
	macaddr8 => [ map { "'$_'" } '00:00:00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff:ff:ff' ],
	bit      => [ q(repeat('0', 70)), q(repeat('1', 70)), q(repeat('01', 35)) ],
	varbit   => [ q(''), q('1'), q(repeat('10', 50000) || '1') ],
	point    => [ map { "'$_'" } '(0,0)', '(1e308,-1e-308)', '(Infinity,NaN)', '(-0,0.1)' ],
	line     => [ map { "'$_'" } '{1,-1,0}', '{0,1e-5,5}', '{1e300,0.1,-1e300}' ],
	lseg     => [ map { "'$_'" } '[(0,0),(0,0)]', '[(-1e308,0.1),(1e308,NaN)]' ],
	box      => [ map { "'$_'" } '(0,0),(0,0)', '(1e308,1e308),(-1e308,-0.1)' ],
	path     => [ map { "'$_'" } '[(0,0)]', '((0,0),(1,2.5),(3,1e-7))', '[(0,0),(Infinity,-1e308)]' ],
	polygon  => [ map { "'$_'" } '((0,0))', '((0,0),(1,2.5),(3,1e-7))' ],
	circle   => [ map { "'$_'" } '<(0,0),0>', '<(-1e308,0.1),1e308>', '<(1,1),Infinity>' ],
	oid      => [ q('0'), q('4294967295') ],
	oid8     => [ q('0'), q('18446744073709551615') ],
	xid      => [ q('0'), q('4294967295') ],
	xid8     => [ q('0'), q('18446744073709551615') ],
	cid      => [ q('0'), q('4294967295') ],
	tid      => [ q('(0,0)'), q('(4294967295,65535)') ],
	pg_lsn   => [ q('0/0'), q('FFFFFFFF/FFFFFFFF') ],
	pg_snapshot   => [ q('1:1:'), q('10:20:10,14,15'), q('9223372036854775806:9223372036854775807:9223372036854775806') ],
	txid_snapshot => [ q('1:1:'), q('10:20:10,14,15'), q('9223372036854775806:9223372036854775807:9223372036854775806') ],
	oidvector  => [ q(''), q('0 1 4294967295') ],
	int2vector => [ q(''), q('-32768 0 32767') ],
	refcursor  => [ q(''), q('<unnamed portal 1>'), q(repeat('é', 1000)) ],
	tsvector   => [ q(''), q('a:1A,2B,3C,4 ''it''''s'':16383'), q((SELECT string_agg('w' || i || ':' || 1 + i % 16383, ' ') FROM generate_series(1, 5000) i)) ],
	tsquery    => [ q(''), q('a'), q('!a & (b:*AB | ''c d'') <-> e <16384> f') ],

	# Their names are the same on both sides, their OIDs may not be.
	aclitem       => [ q(makeaclitem('"some body"'::regrole, 10, 'SELECT', true)), q(makeaclitem(0, 10, 'INSERT', false)) ],
	regproc       => [ q('-'), q('think') ],
	regprocedure  => [ q('-'), q('think(integer)') ],
	regoper       => [ q('0'), q('@#@') ],
	regoperator   => [ q('0'), q('@#@(integer,integer)') ],
	regclass      => [ q('-'), q('"Thi ng"') ],
	regtype       => [ q('-'), q('mood'), q('mood[]'), q('timestamp with time zone') ],
	regrole       => [ q('-'), q('"some body"') ],
	regnamespace  => [ q('-'), q('pg_catalog'), q('"else where"') ],
	regconfig     => [ q('-'), q('english') ],
	regdictionary => [ q('-'), q('simple') ],
	regcollation  => [ q('-'), q('"C"'), q('words') ],
	regdatabase   => [ q('-'), q('postgres'), q('template1') ],
);
# Bounds of ranges: those of their type, and none.
my %bounds = (
	int4range => [ '-2147483648', '2147483647' ], int8range => [ '-9223372036854775808', '9223372036854775807' ],
	numrange => [ '-Infinity', '1e-16000' ], tsrange => [ '-infinity', '"294276-12-31 23:59:59.999999"' ],
	tstzrange => [ '"4714-11-24 00:00+00 BC"', 'infinity' ], daterange => [ '-infinity', '5874897-12-31' ]);
while (my ($range, $bounds) = each %bounds)
{
	my ($least, $greatest) = @$bounds;
	$values{$range} = [ map { "'$_'" } 'empty', '(,)', "[$least,$greatest)", "($least,)", "[$greatest,$greatest]" ];
	# The range of the greatest value alone has no canonical form.
	pop @{ $values{$range} } if $range =~ /int|date/;
	$values{ $range =~ s/range/multirange/r } = [ map { "'$_'" } '{}', '{(,)}', "{[$least,$least],($greatest,)}", "{empty,(,$least),[$greatest,)}" ];
	$values{ $range =~ s/range/multirange/r } = [ map { "'$_'" } '{}', '{(,)}', "{(,$least),[$greatest,)}" ] if $range =~ /int|date/;
}

on_both(q(
	CREATE TYPE mood AS ENUM ('sad', 'ok');
	CREATE ROLE "some body";
	CREATE TABLE "Thi ng" (id integer);
	CREATE SCHEMA "else where";
	CREATE COLLATION words (locale = 'C');
	CREATE FUNCTION think(integer) RETURNS integer LANGUAGE sql AS 'SELECT $1';
	CREATE FUNCTION meet(integer, integer) RETURNS integer LANGUAGE sql AS 'SELECT $1';
	CREATE OPERATOR @#@ (FUNCTION = meet, LEFTARG = integer, RIGHTARG = integer)));

# A column of these can hold no value of a user's: their input functions accept none.
my @without_input = qw(pg_node_tree pg_ndistinct pg_dependencies pg_mcv_list pg_brin_bloom_summary pg_brin_minmax_multi_summary gtsvector);
my $types = q(SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND typname !~ '^_' ORDER BY 1);
my %without_input = map { $_ => 1 } @without_input;
my @types = grep { !$without_input{$_} } split /\n/, $source->safe_psql('postgres', $types);
is(join(' ', grep { !$values{$_} } @types), '', 'there are values of every built-in type');
cmp_ok(scalar @types, '>', 70, 'and they are many');

my $has_xml = $source->safe_psql('postgres', q(SELECT count(*) FROM pg_config WHERE name = 'CONFIGURE' AND setting LIKE '%--with-libxml%'));
@types = grep { $_ ne 'xml' || $has_xml } @types;

# Those that are sent as text, and make the whole table be sent so.
my %as_text = map { $_ => 1 } 'money', 'aclitem', 'int2vector', 'oidvector', 'tsquery', grep { /^reg/ } @types;

# The name of a type in SQL: bit without a length has one bit only.
sub sql_of { my ($type) = @_; return $type eq 'bit' ? 'bit(70)' : $type eq 'char' ? '"char"' : $type }

# An array of NULL and these, of that type. ARRAY takes a vector for an array of integers in some versions.
sub array_of
{
	my ($type, $sql, @values) = @_;
	return "CAST('{NULL" . join('', map { ',"' . s/'//gr . '"' } @values) . "}' AS ${sql}[])" if $type =~ /^(?:oid|int2)vector$/;
	return 'CAST(ARRAY[' . join(', ', 'NULL', map { "CAST($_ AS $sql)" } @values) . "] AS ${sql}[])";
}

# Makes a table of columns, which are pairs of a type in SQL and an array reference of expressions, and fills it: row n
# has the nth expression of each column that has so many, and the last has NULLs.
sub make_table
{
	my ($name, @columns) = @_;
	my $number = 0;
	on_both("CREATE TABLE $name (id integer" . join('', map { ', v' . ++$number . " $_->[0]" } @columns) . ')');
	my ($rows) = sort { $b <=> $a } map { scalar @{ $_->[1] } } @columns;
	my @rows;
	for my $row (0 .. $rows)
	{
		push @rows, "INSERT INTO $name VALUES ($row" . join('', map { ', ' . ($row < @{ $_->[1] } ? "CAST($_->[1][$row] AS $_->[0])" : 'NULL') } @columns) . ')';
	}
	# In several blocks, each row twice.
	$source->safe_psql('postgres', "SET timezone = 'UTC'; " . join(";\n", @rows) . "; INSERT INTO $name SELECT * FROM $name");
	return;
}

# Names the columns that differ, where a table does.
sub copies_each
{
	my ($name, $columns, %case) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	copies_equal($source, $target, name => "$name: copied", from => $name, workers => [ 1, 3 ], %case);
	my $number = 0;
	my @differ;
	for my $column (@$columns)
	{
		my $digest = sprintf q(SELECT md5(string_agg(coalesce(v%d::text, 'NULL'), ',' ORDER BY id)) FROM %s), ++$number, $name;
		push @differ, $column->[0] if $source->safe_psql('postgres', $digest) ne $target->safe_psql('postgres', $digest);
	}
	is("@differ", '', "$name: no type differs");
	like(compare_total($name, $name), qr/\|f$/, "$name: compare agrees");
	return;
}

for my $format ('binary', 'text')
{
	my @columns;
	for my $type (grep { ($as_text{$_} ? 'text' : 'binary') eq $format } @types)
	{
		my $sql    = sql_of($type);
		my @values = @{ $values{$type} };
		my $all    = array_of($type, $sql, @values);
		push @columns, [ $sql, \@values ], [ "${sql}[]", [ "'{}'", $all, "ARRAY[[$all], [$all]]" ] ];
	}
	make_table("native_$format", @columns);
	copies_each("native_$format", \@columns, format => $format);
}

my @columns;
for my $type (@types)
{
	my $sql    = sql_of($type);
	my @values = @{ $values{$type} };
	on_both(qq(CREATE DOMAIN "domain of $type" AS $sql; CREATE TYPE "pair of $type" AS (a $sql, "of many" ${sql}[], d "domain of $type")));
	my @pairs = map { "ROW(CAST($_ AS $sql), " . array_of($type, $sql, $_) . ", $_)" } @values;
	push @columns, [ qq("domain of $type"), \@values ], [ qq("domain of $type"[]), [ array_of($type, $sql, @values) ] ],
	  [ qq("pair of $type"), \@pairs ], [ qq("pair of $type"[]), [ 'ARRAY[' . join(', ', 'NULL', map { qq(CAST($_ AS "pair of $type")) } @pairs) . ']' ] ];
}
make_table('made_of_them', @columns);
copies_each('made_of_them', \@columns, format => 'text');

no_leftovers($source, $target, 'every type');
done_testing();
