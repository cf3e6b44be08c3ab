# A table split by ranges of a key holds the same rows, whatever the key.
#
# Bounds come from the source's statistics, from arithmetic, or there are none; they are sent as text and become
# literals of the key's type. So every case is copied before ANALYZE and after it, each with 1, 2, 4 and 8 workers.
# The cases are values for which such a round trip goes wrong: NULLs, the ends of a type, NaN and infinity, values
# that sort differently under another collation, and those that need quoting.
#
# A badly chosen bound makes uneven chunks, which is no error; so the number of chunks is asserted only where it must
# be more than one.
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

sub has
{
	my ($sql) = @_;
	return $source->safe_psql('postgres', "SELECT EXISTS ($sql)") eq 't';
}

my $has_icu    = has(q(SELECT FROM pg_collation WHERE collname = 'en-x-icu'));
my $has_citext = has(q(SELECT FROM pg_available_extensions WHERE name = 'citext'));

# Text that needs quoting in SQL, in COPY or in an array, or that sorts by case and accent.
my $hostile = q(ARRAY[E'\'', E'\\\\', '"', E'a\'\'b', E'\\\\''--', '{', '}', ',', ' ', '', 'NULL', 'null', '\N', '\.', E'\n', E'\t', E'\r\n',
	E'\u00e9', 'e', 'E', 'É', 'ß', 'ss', 'ÿ', '日本', E'\U0001F600', 'aA', 'Aa', 'AA', 'aa', 'Ab', 'aB', $$'; DROP TABLE t; --$$, '%s', '$1', E'\u0001',
	'a b', 'a-b', 'ab', '-ab', 'co-op', 'coop', 'CO-OP', 'Ǆ', 'İ', 'i', 'I', E'\u00a0'])
  . '::text[]';

on_both(
	q(
	CREATE SCHEMA types;
	CREATE TYPE types.mood AS ENUM ('sad', 'it''s "so"', 'ok', 'happy, {really}');
	CREATE DOMAIN types.whole AS integer;
	CREATE DOMAIN types.even AS integer CHECK (VALUE % 2 = 0);
	CREATE DOMAIN types.nested AS types.even NOT NULL;
	CREATE DOMAIN types.moment AS timestamptz;
	CREATE TYPE types.pair AS (a integer, b text)));
on_both('CREATE DOMAIN types.word AS text COLLATE "en-x-icu"') if $has_icu;
on_both(q(CREATE COLLATION types.any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)))
  if $has_icu;
on_both('CREATE EXTENSION citext') if $has_citext;

# Each case: a name, the type of the column, an expression of g (1 .. 3000), and the least number of chunks before
# ANALYZE and after it.
my @keys = (
	[ 'integers about zero', 'integer', 'g - 1500', 20, 20 ],
	[ 'smallint, all of it', 'smallint', '(g * 21.8)::integer - 32767', 20, 20 ],
	[ 'negative bigint and NULL', 'bigint', 'CASE WHEN g % 7 > 0 THEN -g * 1000000007::bigint END', 20, 20 ],
	[
		# Each power of two, its negative and the ends of the type.
		'both ends of bigint, sparse', 'bigint',
		q(CASE WHEN g % 130 = 0 THEN 9223372036854775807
		       WHEN g % 130 = 1 THEN -9223372036854775808
		       WHEN g % 2 = 0 THEN 1::bigint << ((g / 2) % 63)
		       ELSE -(1::bigint << ((g / 2) % 63)) END), 20, 10
	],
	[ 'the two ends of bigint', 'bigint',
		'CASE WHEN g % 2 = 0 THEN 9223372036854775807 ELSE -9223372036854775808 END', 20, 1 ],
	[ 'both ends of integer and NULL', 'integer',
		'CASE g % 4 WHEN 0 THEN 2147483647 WHEN 1 THEN -2147483648 WHEN 2 THEN g END', 20, 10 ],
	[ 'all equal', 'bigint', '42', 1, 1 ],
	[ 'all equal but one', 'integer', 'CASE WHEN g = 77 THEN -5 ELSE 42 END', 1, 1 ],
	[ 'only NULLs', 'bigint', 'NULL::bigint', 1, 1 ],
	[ 'NULL but one', 'integer', 'CASE WHEN g = 2999 THEN 7 END', 1, 1 ],
	[ 'integer domain', 'types.whole', 'g * 3', 20, 20 ],
	# Not every integer between two even ones is even.
	[ 'integer domain with a check', 'types.even', 'g * 2', 20, 20 ],
	[ 'domain over a domain', 'types.nested', 'g * 4 - 6000', 20, 20 ],
	[ 'numeric with NaN and infinity', 'numeric',
		q(CASE g % 50 WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' WHEN 2 THEN '-Infinity'
		  ELSE (g - 1500) * 10::numeric ^ (g % 60 - 30) END), 1, 20 ],
	[ 'double precision with NaN and infinity', 'double precision',
		q(CASE g % 50 WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' WHEN 2 THEN '-Infinity' WHEN 3 THEN '-0'
		  WHEN 4 THEN 0 WHEN 5 THEN 5e-324 ELSE (g - 1500) / 3.0 * 10::float8 ^ (g % 60 - 30) END), 1, 20 ],
	[ 'real', 'real', q(CASE WHEN g % 50 = 0 THEN 'NaN'::real ELSE (g / 7.0)::real END), 1, 20 ],
	[ 'hostile text', 'text', "($hostile)[1 + g % 48] || CASE WHEN g % 3 > 0 THEN g::text ELSE '' END", 1, 20 ],
	[ 'hostile text and NULL', 'text', "($hostile)[1 + g % 60] || (g % 500)::text", 1, 20 ],
	[ 'long text', 'text', q(repeat(md5(g::text), 30)), 1, 20 ],
	[ 'varchar(12)', 'varchar(12)', q(left(md5(g::text), 12)), 1, 20 ],
	# Padded, and longer than the one character that the type has without a length.
	[ 'char(6)', 'char(6)', q(left(CASE WHEN g % 2 = 0 THEN 'Aa' ELSE 'aA' END || md5(g::text), 2 + g % 5)), 1, 20 ],
	[ '"char"', '"char"', q((g % 256 - 128)::"char"), 1, 2 ],
	[ 'name', 'name', q(md5(g::text)::name), 1, 20 ],
	[ 'bytea', 'bytea', q(decode(substr(md5(g::text), 1, 2 * (g % 16)), 'hex') || '\x005c27'), 1, 20 ],
	[ 'uuid', 'uuid', 'md5(g::text)::uuid', 1, 20 ],
	[ 'enum', 'types.mood', q(CASE WHEN g % 9 > 0 THEN (enum_range(NULL::types.mood))[1 + g % 4] END), 1, 3 ],
	[ 'boolean', 'boolean', 'CASE WHEN g % 9 > 0 THEN g % 2 = 0 END', 1, 2 ],
	[ 'date with infinity', 'date',
		q(CASE g % 40 WHEN 0 THEN 'infinity' WHEN 1 THEN '-infinity' ELSE '1999-12-01'::date + g END), 20, 20 ],
	[ 'dates, the first and the last', 'date',
		q(CASE g % 40 WHEN 0 THEN '5874897-12-31' WHEN 1 THEN '4713-01-01 BC' ELSE '1999-12-01'::date + g END), 1, 20 ],
	[ 'timestamp', 'timestamp', q('2000-01-01'::timestamp + g * interval '1 hour 0.000001 second'), 20, 20 ],
	[ 'timestamps, the first and the last', 'timestamp',
		q(CASE g % 40 WHEN 0 THEN '4713-01-01 00:00:00 BC' WHEN 1 THEN '294276-12-31 23:59:59.999999'
		  ELSE '2000-01-01'::timestamp + g * interval '1 day' END), 1, 20 ],
	[ 'timestamptz with infinity and NULL', 'timestamptz',
		q(CASE g % 40 WHEN 0 THEN 'infinity' WHEN 1 THEN '-infinity' WHEN 2 THEN NULL
		  ELSE '2024-10-26 00:00+00'::timestamptz + g * interval '1 minute' END), 20, 20 ],
	[ 'timestamptz, only infinity', 'timestamptz',
		q(CASE WHEN g % 2 = 0 THEN 'infinity'::timestamptz ELSE '-infinity' END), 1, 1 ],
	[ 'timestamptz domain', 'types.moment', q('2024-01-01 00:00+00'::timestamptz - g * interval '7 hours'), 20, 20 ],
	[ 'time', 'time', q('00:00'::time + g * interval '25 seconds'), 1, 20 ],
	[ 'timetz', 'timetz', q(('00:00'::time + g * interval '25 seconds') AT TIME ZONE '+03'), 1, 20 ],
	[ 'interval', 'interval', q((g - 1500) * interval '1 mon -3 days 00:00:01.5'), 1, 20 ],
	[ 'money', 'money', q(((g - 1500) * 1234.56)::numeric::money), 1, 20 ],
	[ 'inet', 'inet', q(CASE WHEN g % 2 = 0 THEN '10.0.0.0/8'::inet + g ELSE '2001:db8::/32'::inet + g END), 1, 20 ],
	[ 'macaddr', 'macaddr', q(('08002b' || lpad(to_hex(g), 6, '0'))::macaddr), 1, 20 ],
	[ 'bit(16)', 'bit(16)', 'g::bit(16)', 1, 2 ],
	[ 'varbit', 'varbit', 'substring(g::bit(16) FROM 1 FOR 1 + g % 16)::varbit', 1, 20 ],
	[ 'oid', 'oid', '(g::bigint * 1431655)::oid', 1, 20 ],
	[ 'pg_lsn', 'pg_lsn', q('0/0'::pg_lsn + g::numeric * 12345678), 1, 20 ],
	[ 'integer array', 'integer[]', 'ARRAY[g % 10, -g, NULL]', 1, 1 ],
	[ 'text array', 'text[]', q(ARRAY[md5(g::text), '{', '"', NULL]), 1, 1 ],
	# PostgreSQL keeps other statistics for ranges, which have no bounds for us.
	[ 'range', 'int4range', 'int4range(g - 1500, g + g % 3 - 1500)', 1, 1 ],
	[ 'jsonb', 'jsonb', q(jsonb_build_object('k', g % 700, 'quote', '''')), 1, 20 ],
	[ 'composite', 'types.pair', q((g % 50, 'a"b' || g)::types.pair), 1, 1 ],
);
if ($has_icu)
{
	push @keys,
	  [ 'hostile text under an ICU collation', 'text COLLATE "en-x-icu"', "($hostile)[1 + g % 48] || (g % 800)::text", 1, 20 ],
	  [ 'char(4) under an ICU collation', 'char(4) COLLATE "en-x-icu"',
		q((ARRAY['A', 'a', 'b', 'B'])[1 + g % 4] || (ARRAY['b', 'B', 'a', 'A'])[1 + g / 4 % 4] || g % 100), 1, 2 ],
	  [ 'text under a collation that takes a for A', 'text COLLATE types.any_case',
		q((ARRAY['A', 'a', 'b', 'B', 'ä'])[1 + g % 5] || (g % 700)), 1, 20 ],
	  [ 'text domain with a collation', 'types.word', "($hostile)[1 + g % 48] || g", 1, 20 ],
	  [ 'text domain under another collation', 'types.word COLLATE "C"', "($hostile)[1 + g % 48] || g", 1, 20 ];
}
push @keys, [ 'citext', 'citext', q((ARRAY['A', 'a', 'b', 'B', 'é', 'É'])[1 + g % 6] || (g % 700)), 1, 20 ]
  if $has_citext;

my $number = 0;
for my $key (@keys)
{
	my ($name, $type, $value, $least_before, $least_after) = @$key;
	my $table = 'keyed_' . ++$number;
	on_both("CREATE TABLE $table (id integer, k $type, payload text)");
	$source->safe_psql(
		'postgres', qq(
		SET timezone = 'Europe/Berlin';
		INSERT INTO $table SELECT g, $value, md5(g::text) FROM generate_series(1, 3000) g;
		CREATE INDEX ON $table (k)));
	copies_equal(
		$source, $target,
		name       => "$name, no statistics",
		from       => $table,
		args       => q(key => 'k'),
		min_chunks => $least_before,
		kinds      => 'nulls,range') if $type !~ /nested/;
	$source->safe_psql('postgres', "ANALYZE $table");
	copies_equal(
		$source, $target,
		name       => "$name, analyzed",
		from       => $table,
		args       => q(key => 'k'),
		min_chunks => $least_after,
		kinds      => 'nulls,range');
	$_->safe_psql('postgres', "DROP TABLE $table") for $source, $target;
}

# A key without NULLs has no chunk for NULLs. The primary key of a table that has grown beyond its statistics at both
# ends and in between; with a filter.
on_both('CREATE TABLE grown (id bigint PRIMARY KEY, payload text)');
$source->safe_psql(
	'postgres', q(
	INSERT INTO grown SELECT g * 10, md5(g::text) FROM generate_series(1, 1500) g;
	ANALYZE grown;
	INSERT INTO grown SELECT -g, md5(g::text) FROM generate_series(1, 1500) g;
	INSERT INTO grown SELECT g * 10 + 3, md5(g::text) FROM generate_series(500, 4000) g));
copies_equal($source, $target, name => 'statistics older than the rows', from => 'grown',
	args => q(key => 'id'), kinds => 'range', min_chunks => 20);
copies_equal($source, $target, name => 'key and filter', from => 'grown',
	args     => q(key => 'id', filter => 'id % 10 = 3 OR id < 0 -- and more'),
	expected => 'SELECT * FROM grown WHERE id % 10 = 3 OR id < 0');
$source->safe_psql('postgres', 'DELETE FROM grown WHERE id > 0; ANALYZE grown; DELETE FROM grown');
copies_equal($source, $target, name => 'statistics of rows that are gone', from => 'grown', args => q(key => 'id'));

# Indexes that begin with the key but are not in its default order, or have more columns.
on_both('CREATE TABLE indexed (k text COLLATE "C", i integer, payload text)');
$source->safe_psql(
	'postgres', q(
	INSERT INTO indexed SELECT (ARRAY['a', 'A', 'b', 'B'])[1 + g % 4] || g, -g, md5(g::text) FROM generate_series(1, 3000) g;
	ANALYZE indexed));
for my $index ('k DESC NULLS FIRST', 'k text_pattern_ops', $has_icu ? 'k COLLATE "en-x-icu"' : (), 'k, i')
{
	$source->safe_psql('postgres', "CREATE INDEX key_index ON indexed ($index)");
	copies_equal($source, $target, name => "index on ($index)", from => 'indexed',
		args => q(key => 'k'), workers => [ 1, 4 ]);
	$source->safe_psql('postgres', 'DROP INDEX key_index');
}

# Each leaf is split by its own statistics and extremes.
on_both(
	q(
	CREATE TABLE leaves (id integer, k bigint, payload text) PARTITION BY RANGE (id);
	CREATE TABLE leaves_1 PARTITION OF leaves FOR VALUES FROM (MINVALUE) TO (1000);
	CREATE TABLE leaves_2 (payload text, k bigint, id integer);
	ALTER TABLE leaves ATTACH PARTITION leaves_2 FOR VALUES FROM (1000) TO (2000);
	CREATE TABLE leaves_3 PARTITION OF leaves FOR VALUES FROM (2000) TO (MAXVALUE);
	CREATE INDEX ON leaves (k)));
$source->safe_psql(
	'postgres', q(
	INSERT INTO leaves SELECT g, CASE WHEN g % 11 > 0 THEN (g - 900) * 5000000000 END, md5(g::text)
		FROM generate_series(1, 1999) g));
copies_equal($source, $target, name => 'partitioned by range, split by key, no statistics', from => 'leaves',
	args => q(key => 'k'), min_chunks => 15);
$source->safe_psql('postgres', 'ANALYZE leaves');
copies_equal($source, $target, name => 'partitioned by range, split by key, analyzed', from => 'leaves',
	args => q(key => 'k'), min_chunks => 15);
on_both('CREATE TABLE trunk (k integer, payload text); CREATE INDEX ON trunk (k)');
$source->safe_psql(
	'postgres', q(
	CREATE TABLE branch () INHERITS (trunk);
	CREATE INDEX ON branch (k);
	INSERT INTO trunk SELECT g, md5(g::text) FROM generate_series(1, 1500) g;
	INSERT INTO branch SELECT g % 40, md5(g::text) FROM generate_series(1, 1500) g));
copies_equal($source, $target, name => 'inheritance, split by key, no statistics', from => 'trunk',
	args => q(key => 'k'));
$source->safe_psql('postgres', 'ANALYZE');
copies_equal($source, $target, name => 'inheritance, split by key, analyzed', from => 'trunk',
	args => q(key => 'k'));

# A materialized view has statistics and indexes too.
$source->safe_psql(
	'postgres', q(
	CREATE MATERIALIZED VIEW summary AS SELECT k, payload FROM trunk;
	CREATE INDEX ON summary (k, payload);
	ANALYZE summary));
copies_equal($source, $target, name => 'materialized view, split by key', from => 'summary', to => 'trunk',
	args => q(key => 'k'), kinds => 'nulls,range');

# A key and a table whose names need quoting; the key need not be copied itself.
on_both(q(CREATE TABLE "Sch ""o'dd" ("the ""key\""'; --" integer, payload text)));
$source->safe_psql(
	'postgres', q(
	INSERT INTO "Sch ""o'dd" SELECT g, md5(g::text) FROM generate_series(1, 3000) g;
	CREATE INDEX ON "Sch ""o'dd" ("the ""key\""'; --")));
copies_equal($source, $target, name => 'hostile names', from => q("Sch ""o'dd"),
	args => q(key => 'the "key\"''; --'), kinds => 'nulls,range', min_chunks => 20);
copies_equal($source, $target, name => 'key not copied', from => q("Sch ""o'dd"),
	args     => q(key => 'the "key\"''; --', columns => ARRAY['payload']),
	expected => q(SELECT payload FROM "Sch ""o'dd"), actual => q(SELECT payload FROM "Sch ""o'dd"));

no_leftovers($source, $target, 'all keys');
done_testing();
