# Other shapes of tables and types: access methods other than heap, contrib types in a schema outside every
# search_path, system types, and a value of 500 MB.
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

sub agrees
{
	my ($table) = @_;
	return like(compare_total($table, $table), qr/\|f$/, "$table: compare agrees");
}

# The meaning of a ctid is up to the access method: a table of another one is copied in one chunk. As a target it is
# like any other.
on_both(q(CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler;
	CREATE TABLE keyed (id integer PRIMARY KEY, t text) USING other;
	CREATE TABLE keyless (id integer, t text) USING other;
	CREATE TABLE mixed (id integer, t text) PARTITION BY RANGE (id);
	CREATE TABLE mixed_1 PARTITION OF mixed FOR VALUES FROM (0) TO (1000);
	CREATE TABLE mixed_2 PARTITION OF mixed FOR VALUES FROM (1000) TO (3001) USING other));
$source->safe_psql('postgres', "INSERT INTO $_ SELECT g, repeat('x', 100) || g FROM generate_series(1, 3000) g; ANALYZE $_") for qw(keyed keyless mixed);
copies_equal($source, $target, name => 'another access method', from => 'keyed', kinds => 'whole', workers => [ 1, 4 ]);
copies_equal($source, $target, name => 'another access method, without a key', from => 'keyless', kinds => 'whole', workers => [ 1, 4 ]);
copies_equal($source, $target, name => 'partitions of two', from => 'mixed', kinds => 'blocks,whole', workers => [ 1, 4 ]);
agrees($_) for qw(keyed keyless mixed);

# The types have different OIDs on the two servers.
$target->safe_psql('postgres', 'CREATE TABLE first (a integer); CREATE TYPE second AS ENUM ()');
my %contrib = (
	intarray => [ 'q public.query_int', q('1&(2|!3)') ], seg => [ 's public.seg', q('6.25 .. 6.50') ], lo => [ 'l public.lo', '4711' ],
	hstore => [ 'h public.hstore', q('a=>1, "b c"=>NULL') ], citext => [ 'c public.citext', q('MiXed') ], ltree => [ 't public.ltree', q('Top.Science') ],
	cube => [ 'cu public.cube', q('(1,2),(3,4.5)') ], isn => [ 'i public.isbn', q('978-0-393-04002-9') ]);
for my $extension (sort keys %contrib)
{
	my ($column, $value) = @{ $contrib{$extension} };
	my ($name, $type) = split / /, $column =~ s/public/aside/r;
	my @failed = grep { ($_->psql('postgres', "CREATE SCHEMA IF NOT EXISTS aside; CREATE EXTENSION $extension SCHEMA aside"))[0] != 0 } $source, $target;
	SKIP:
	{
		skip "extension $extension is not there", 3 if @failed;
		on_both(qq(CREATE DOMAIN aside.${name}_domain AS $type; CREATE TYPE aside.${name}_pair AS (a $type, b ${type}[]);
			CREATE TABLE with_$extension (id integer, v $type, many ${type}[], dom aside.${name}_domain, pair aside.${name}_pair, pairs aside.${name}_pair[])));
		$source->safe_psql('postgres', qq(INSERT INTO with_$extension SELECT g, $value, ARRAY[$value, NULL]::${type}[], $value,
			ROW($value, ARRAY[$value]::${type}[])::aside.${name}_pair, ARRAY[ROW(NULL, NULL)::aside.${name}_pair] FROM generate_series(1, 500) g));
		copies_equal($source, $target, name => "$extension, and types made of it", from => "with_$extension", workers => [2]);
		agrees("with_$extension");
	}
}

# System types.
on_both(q(CREATE TABLE systems (id integer, ov oidvector, iv int2vector, s pg_snapshot, ts txid_snapshot, x xid, x8 xid8, c cid, t tid, m8 macaddr8,
	jp jsonpath, a aclitem, n name, ch "char", ref refcursor, role regrole, proc regprocedure)));
$source->safe_psql('postgres', q(INSERT INTO systems SELECT g, '1 2 3', '4 -5', '10:20:10,14', '10:20:10,14', '4294967295', '18446744073709551615', '7', '(4294967295,65535)',
	'08:00:2b:01:02:03:04:05', '$.a[*] ? (@ > 1)', NULL, repeat('n', 63)::name, 'c', 'portal', 'pg_monitor', 'now()' FROM generate_series(1, 300) g));
copies_equal($source, $target, name => 'types of the system', from => 'systems', workers => [2]);

# 500 MB in one value, in binary and as text.
$source->safe_psql('postgres', q(CREATE TABLE huge (id integer, v bytea, t text);
	INSERT INTO huge VALUES (1, convert_to(repeat('half a gigabyte ', 32768000), 'UTF8'), NULL), (2, NULL, repeat('and more ', 55000000)), (3, 'small', 'small')));
$target->safe_psql('postgres', 'CREATE TABLE huge (id integer, v bytea, t text)');
my $digest = q(SELECT string_agg(concat(id, ' ', length(v), ' ', md5(v), ' ', length(t), ' ', md5(t)), ',' ORDER BY id) FROM huge);
is($target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 'huge', 'huge', 2)"), 3, 'values of 500 MB are copied');
is($target->safe_psql('postgres', $digest), $source->safe_psql('postgres', $digest), 'and are the same');

no_leftovers($source, $target, 'at the end');
done_testing();
