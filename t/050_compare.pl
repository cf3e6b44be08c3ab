# fastcopy.compare: which differences it finds, what it ignores, and what it leaves behind.
#
# Tables are small and chunks smaller still, so that each comparison has many ranges on both sides.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Sessions on both sides start with settings that change the output of values.
my ($source, $target) = start_pair(
	source_conf => "timezone = 'Asia/Kolkata'\ndatestyle = 'German'\nbytea_output = 'escape'\nintervalstyle = 'iso_8601'\n",
	target_conf => "timezone = 'America/St_Johns'\ndatestyle = 'SQL, DMY'\nextra_float_digits = 0\n"
	  . "fastcopy.chunk_size = '64kB'\nwal_level = replica\nmax_wal_senders = 2\nlog_min_messages = debug1\nlog_statement = none\nlog_min_error_statement = panic\n");
my $conninfo = conninfo($source);

# The rows of a comparison, as "range|source_rows|target_rows|differs" lines. Arguments after the tables are SQL.
sub compare
{
	my ($from, $to, @more) = @_;
	return $target->safe_psql('postgres',
		"SELECT range, source_rows, target_rows, differs FROM fastcopy.compare("
		  . join(', ', "'$conninfo'", "'$from'", "'$to'", @more) . ')');
}

# Asserts that nothing differs.
sub same
{
	my ($from, $to, $rows, $name, @more) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(compare($from, $to, @more), "total|$rows|$rows|f", $name);
}

# Asserts the number of ranges that differ, and the totals.
sub differ
{
	my ($from, $to, $ranges, $source_rows, $target_rows, $name, @more) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @lines = split /\n/, compare($from, $to, @more);
	my $total = pop @lines;
	is($total, "total|$source_rows|$target_rows|t", "$name: the total");
	my $differing = grep { /\|t$/ } @lines;
	return is("@{[ scalar @lines ]} $differing", "$ranges $ranges", "$name: $ranges ranges differ")
	  || diag join "\n", @lines;
}

# A table with a key, in another physical order and with other columns around it on the target.
$source->safe_psql('postgres', q(
	CREATE TABLE t (id integer PRIMARY KEY, a text, b text, f double precision, at timestamptz, span interval,
		raw bytea, doc jsonb, price money, what regclass);
	INSERT INTO t SELECT i, 'a' || i, nullif('b' || i % 10, 'b3'), sqrt(i), timestamptz '2026-01-01 00:00+00' + i * interval '1 h',
		i * interval '90 min', decode(md5(i::text), 'hex'), jsonb_build_object('n', i, 'f', i / 7.0), i, 'pg_class'
	FROM generate_series(1, 5000) i;
	ANALYZE t));
$target->safe_psql('postgres', q(
	CREATE TABLE t (extra text DEFAULT 'extra', doc jsonb, raw bytea, span interval, at timestamptz, price money, what regclass,
		twice bigint GENERATED ALWAYS AS (id * 2) STORED, f double precision, b text, a varchar(20), id bigint)));
$target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 't', 't', 2)");
$target->safe_psql('postgres', q(
	CREATE TABLE mixed (LIKE t INCLUDING GENERATED);
	INSERT INTO mixed (doc, raw, span, at, price, what, f, b, a, id)
	SELECT doc, raw, span, at, price, what, f, b, a, id FROM t ORDER BY md5(id::text)));

same('t', 't', 5000, 'a copy is equal');
same('t', 'mixed', 5000, '... whatever its physical order', 'workers => 3');
same('t', 't', 5000, '... by one worker', 'workers => 1');
for my $key (qw(id a b f at span raw doc price))
{
	same('t', 'mixed', 5000, "... by key $key", "key => '$key'");
}
same('t', 't', 5000, '... by some columns', "columns => '{id,f}'");
same('t', 't', 17, '... by a filter', "filter => 'id <= 17 -- seventeen'");

# The search_path and the settings of the role do not matter.
$target->safe_psql('postgres', q(ALTER ROLE postgres SET search_path = public; ALTER ROLE postgres SET lc_monetary = 'C.UTF-8';
	ALTER ROLE postgres SET quote_all_identifiers = on; ALTER ROLE postgres SET default_transaction_isolation = 'serializable'));
same('t', 't', 5000, 'under settings of the role');
$target->safe_psql('postgres', 'ALTER ROLE postgres RESET ALL');

# Differences, one at a time.
my $change = sub {
	my ($sql, $ranges, $rows, $name, @more) = @_;
	$target->safe_psql('postgres', $sql);
	differ('t', 'mixed', $ranges, 5000, $rows, $name, @more);
	$target->safe_psql('postgres', q(TRUNCATE mixed; INSERT INTO mixed (doc, raw, span, at, price, what, f, b, a, id)
		SELECT doc, raw, span, at, price, what, f, b, a, id FROM t ORDER BY md5(id::text)));
};
$change->('DELETE FROM mixed WHERE id = 77', 1, 4999, 'a missing row');
$change->("INSERT INTO mixed (id) VALUES (-1)", 1, 5001, 'an extra row');
$change->('INSERT INTO mixed (id, a) VALUES (NULL, NULL)', 1, 5001, 'a row without its key');
$change->("UPDATE mixed SET f = f + 1e-15 * f WHERE id = 2500", 1, 5000, 'the last digit of a float');
$change->("UPDATE mixed SET b = '' WHERE id = 3", 1, 5000, 'an empty string for NULL');
$change->("UPDATE mixed SET a = 'a' || 5001 - id WHERE id IN (1, 5000)", 2, 5000, 'values that swapped rows far apart');
$change->("UPDATE mixed SET a = 'a' || 5001 - id WHERE id IN (1000, 4001)", 2, 5000, '... by the key itself', "key => 'a'");
$change->('UPDATE mixed SET id = 10 WHERE id = 11; UPDATE mixed SET a = (SELECT a FROM t WHERE id = 10) WHERE id = 10', 1, 5000,
	'a row twice in place of two', "columns => '{id,a}'");
$change->("UPDATE mixed SET a = b, b = a WHERE id = 4000", 1, 5000, 'values that swapped columns');

# A range is a condition that is valid on both sides.
$target->safe_psql('postgres', "UPDATE mixed SET b = 'changed' WHERE id = 4321");
for my $key (qw(id a at f raw span))
{
	my ($range, $lower, $upper) = split /\|/, $target->safe_psql('postgres',
		"SELECT range, lower_bound, upper_bound FROM fastcopy.compare('$conninfo', 't', 'mixed', key => '$key') WHERE range <> 'total'");
	my $sql = "SET timezone = 'UTC'; SET datestyle = 'ISO'; SELECT count(*) FROM %s WHERE id = 4321 AND $range";
	is($source->safe_psql('postgres', sprintf($sql, 't')) . $target->safe_psql('postgres', sprintf($sql, 'mixed')), '11',
		"the range by $key ($range) holds the row on both sides");
	ok(length $lower && index($range, $lower) >= 0 && index($range, $upper) >= 0, '... and has its bounds');
}
differ('t', 'mixed', 2, 5000, 5000, 'a value that changed its range', "key => 'b'");
$source->safe_psql('postgres', 'UPDATE t SET b = NULL WHERE id = 1');
like(compare('t', 'mixed', "key => 'b'"), qr/^b IS NULL\|501\|500\|t$/m, 'the range of NULLs');

# Without any key, and duplicates.
on_both('CREATE TABLE heap (x integer, y text); INSERT INTO heap SELECT i % 100, repeat(\'y\', i % 50) FROM generate_series(1, 3000) i');
same('heap', 'heap', 3000, 'no key');
$target->safe_psql('postgres', 'DELETE FROM heap WHERE ctid = (SELECT min(ctid) FROM heap)');
differ('heap', 'heap', 1, 3000, 2999, 'a duplicate less');
like(compare('heap', 'heap'), qr/^hash \d+ of 64\|/, 'the range tells that it is by hash');
$source->safe_psql('postgres', 'DELETE FROM heap WHERE ctid = (SELECT max(ctid) FROM heap)');
differ('heap', 'heap', 2, 2999, 2999, 'another duplicate less: the counts agree');
differ('heap', 'heap', 2, 2999, 2999, 'a key without bounds', "key => 'y'");
same('heap', 'heap', 0, 'nothing of it', "filter => 'false'");

# No statistics, but an index: bounds are evenly spaced.
on_both('CREATE TABLE fresh (id bigint PRIMARY KEY, at timestamptz); CREATE INDEX ON fresh (at);'
	. " INSERT INTO fresh SELECT i * 1000, timestamptz '2026-01-01 00:00+00' + i * interval '1 h' FROM generate_series(-500, 500) i");
same('fresh', 'fresh', 1001, 'a table without statistics');
$target->safe_psql('postgres', 'DELETE FROM fresh WHERE id = -3000');
like(compare('fresh', 'fresh'), qr/^id >= '-\d+' AND id < '-?\d+'\|\d+\|\d+\|t\ntotal\|1001\|1000\|t$/, '... has ranges by an integer');
like(compare('fresh', 'fresh', "key => 'at'"), qr/^at >= '2025-[^\n]*\|t\ntotal\|1001\|1000\|t$/, '... and by time');

# Types of keys, each with a difference to find; collations that do not sort by bytes.
on_both(q(CREATE COLLATION natural_order (provider = icu, locale = 'en-u-kn-true');
	CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
	CREATE TABLE keys (i2 smallint, i8 bigint, n numeric, f4 real, d date, ts timestamp, ti time, u uuid, c char(8), na name,
		tx text COLLATE natural_order, bo boolean, mo mood, ar integer[], ip inet);
	INSERT INTO keys SELECT i, i * 10000000000, i / 3.0, i / 3.0, date '2026-01-01' + i, timestamp '2026-01-01' + i * interval '1 d',
		time '00:00' + i * interval '1 s', md5(i::text)::uuid, 'c' || i, 'n' || i, (ARRAY['Ä','a','Z','é','_'])[1 + i % 5] || i, i % 2 = 0,
		(ARRAY['sad','ok','happy'])[1 + i % 3]::mood, ARRAY[i, i + 1], '10.0.0.0'::inet + i
	FROM generate_series(1, 1000) i;
	INSERT INTO keys (i2) VALUES (NULL), (NULL);
	INSERT INTO keys (f4, n, d, ts) VALUES ('NaN', 'NaN', 'infinity', '-infinity'), ('-Infinity', -1e100, '0044-03-15 BC', '0044-03-15 BC');
	ANALYZE keys));
my @keys = split /\n/, $source->safe_psql('postgres', "SELECT attname FROM pg_attribute WHERE attrelid = 'keys'::regclass AND attnum > 0 ORDER BY 1");
same('keys', 'keys', 1004, "equal by key $_", "key => '$_'") for @keys;
$target->safe_psql('postgres', "UPDATE keys SET ar = '{}' WHERE i2 = 500; DELETE FROM keys WHERE ctid = (SELECT min(ctid) FROM keys WHERE n IS NULL)");
for my $key (grep { $_ ne 'ar' } @keys)
{
	# The key may be NULL in the row that is missing.
	differ('keys', 'keys', 2, 1004, 1003, "by key $key", "key => '$key'");
}

# Partitioned tables, inheritance, views, materialized and foreign tables on either side.
on_both(q(CREATE TABLE parts (id integer, v text) PARTITION BY RANGE (id);
	CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (1000);
	CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (1000) TO (9000) PARTITION BY LIST (v);
	CREATE TABLE parts_2x PARTITION OF parts_2 DEFAULT;
	INSERT INTO parts SELECT i, repeat('v', i % 300) FROM generate_series(1, 4000) i;
	CREATE TABLE plain AS SELECT * FROM parts ORDER BY id DESC;
	CREATE TABLE parent (LIKE plain); CREATE TABLE child () INHERITS (parent);
	INSERT INTO parent SELECT * FROM plain WHERE id % 2 = 0; INSERT INTO child SELECT * FROM plain WHERE id % 2 = 1;
	CREATE VIEW view AS SELECT * FROM plain WHERE id > 0;
	CREATE MATERIALIZED VIEW stored AS SELECT * FROM plain;
	CREATE TABLE empty (LIKE plain) PARTITION BY RANGE (id);
	ANALYZE));
for my $pair ([ 'parts', 'parts' ], [ 'parts', 'plain' ], [ 'plain', 'parts' ], [ 'parent', 'parts' ], [ 'plain', 'parent' ],
	[ 'view', 'parts' ], [ 'parts', 'view' ], [ 'stored', 'stored' ])
{
	same(@$pair, 4000, "$pair->[0] and $pair->[1]", "key => 'id'");
}
same('parts', 'parts', 4000, 'partitions without a key');
$target->safe_psql('postgres', 'CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS ('
	. "host '" . $source->host . "', port '" . $source->port . "', dbname 'postgres');"
	. " CREATE USER MAPPING FOR postgres SERVER far OPTIONS (user 'postgres');"
	. " CREATE FOREIGN TABLE far (id integer, v text) SERVER far OPTIONS (table_name 'plain')");
same('plain', 'far', 4000, 'a foreign table', "key => 'id'");
same('empty', 'empty', 0, 'partitioned tables without partitions');
$target->safe_psql('postgres', 'DELETE FROM parts_2x WHERE id = 3333');
differ('plain', 'parts', 1, 4000, 3999, 'a row missing in a partition', "key => 'id'");
differ('plain', 'parts', 1, 4000, 3999, '... without a key');
differ('parent', 'empty', 64, 4000, 0, 'an empty table');

# Different encodings: text is compared as UTF-8.
$source->safe_psql('postgres', "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0");
my $words = q(CREATE TABLE words (w text PRIMARY KEY, i integer);
	INSERT INTO words SELECT (ARRAY['Ärger','élan','Zoo','ñandú','alpha'])[1 + i % 5] || ' ' || i, i FROM generate_series(1, 1000) i; ANALYZE words);
$source->safe_psql('latin', "SET client_encoding = 'UTF8'; $words");
$target->safe_psql('postgres', "SET client_encoding = 'UTF8'; $words");
my $latin = conninfo($source, dbname => 'latin');
{
	my $call = sub { "SELECT range, source_rows, target_rows, differs FROM fastcopy.compare('$latin', 'words', 'words', key => '$_[0]')" };
	for my $key (qw(w i))
	{
		is($target->safe_psql('postgres', $call->($key)), 'total|1000|1000|f', "encodings that differ, by key $key");
	}
	$target->safe_psql('postgres', "SET client_encoding = 'UTF8'; UPDATE words SET w = 'élan 1x' WHERE w = 'élan 1'");
	my $lines = $target->safe_psql('postgres', $call->('w'));
	like($lines, qr/^convert_to\(w::text, 'UTF8'\) >= [^\n]*\n(?:convert_to[^\n]*\n)?total\|1000\|1000\|t$/, '... with a difference');
}

# Writers on both sides: each side is read and counted at one instant. Money moves between accounts, so the sum of the
# balances is always the same.
on_both(q(CREATE TABLE accounts (id integer PRIMARY KEY, balance integer NOT NULL, note text);
	INSERT INTO accounts SELECT i, 0, repeat('n', 200) FROM generate_series(1, 3000) i;
	ANALYZE accounts;
	CREATE TABLE stop ();
	CREATE SEQUENCE written;
	CREATE PROCEDURE flip() LANGUAGE plpgsql AS $$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM stop) LOOP
			UPDATE accounts SET balance = 1 - balance WHERE id IN (1, 1500, 3000);
			COMMIT;
			UPDATE accounts SET balance = 1 - balance WHERE id IN (1, 1500, 3000);
			PERFORM nextval('written');
			COMMIT;
		END LOOP;
	END $$));
my @writers = map {
	my $writer = $_->background_psql('postgres');
	$writer->{stdin} .= "CALL flip();\n";
	$writer->{run}->pump_nb;
	$writer;
} $source, $target;
for my $node ($source, $target)
{
	$node->poll_query_until('postgres', "SELECT last_value > 10 FROM written") or die 'no writer';
}
my $before = $source->safe_psql('postgres', 'SELECT last_value FROM written');
# At any instant all three rows are flipped or none is: either all three ranges differ or none does.
my %seen;
for my $i (1 .. 12)
{
	my @lines = split /\n/, compare('accounts', 'accounts', "workers => 2");
	$seen{ scalar(@lines) - 1 }++;
}
ok(!(grep { $_ != 0 && $_ != 3 } keys %seen), 'writers on both sides: all of a transaction is seen, or nothing')
  or diag explain \%seen;
cmp_ok($source->safe_psql('postgres', 'SELECT last_value FROM written'), '>', $before, '... which have written meanwhile');
on_both('INSERT INTO stop DEFAULT VALUES');
$_->quit for @writers;
same('accounts', 'accounts', 3000, '... and at rest the tables are equal');
no_leftovers($source, $target, 'after comparisons');

# compare takes ACCESS SHARE only: it does not wait for writers, nor writers for it.
my $hold = $target->background_psql('postgres');
$hold->query_safe('BEGIN; LOCK TABLE t IN EXCLUSIVE MODE');
differ('t', 't', 1, 5000, 5000, 'under EXCLUSIVE locks', "key => 'id'");
$hold->quit;

# Errors in arguments.
my $call = sub { "SELECT * FROM fastcopy.compare('$conninfo', " . join(', ', @_) . ')' };
fails_with($target, $call->("'nowhere'", "'t'"), '42P01', qr/relation "nowhere" does not exist/, 'no such source table');
fails_with($target, $call->("'t'", "'nowhere'"), '42P01', qr/relation "nowhere" does not exist/, 'no such target table');
fails_with($target, $call->("'t'", "'heap'"), '42703', qr/column "id" of source table "t" does not exist in target table "public.heap"/, 'no such column');
fails_with($target, $call->("'t'", "'t'", "key => 'k'"), '42703', qr/key column "k" of source table "t" does not exist/, 'no such key');
fails_with($target, $call->("'t'", "'t'", "columns => '{id,zz}'"), '42703', qr/column "zz" of source table "t" does not exist/, 'no such column asked for');
fails_with($target, $call->("'t'", "'t'", "filter => 'id ='"), '42601', qr/syntax error/, 'a bad filter');
fails_with($target, $call->("'t'", "'t'", "filter => 'true) OR (true'"), '42601', qr/syntax error/, 'a filter that closes the parenthesis');
fails_with($target, $call->("'t'", "'t'", "filter => 'true ORDER BY id'"), '42601', qr/syntax error/, 'a filter with another clause');
fails_with($target, $call->("'t'", "'t'", 'workers => 0'), '22023', qr/number of workers must be between/, 'no workers');
fails_with($target, $call->("'t'", "'t'", 'workers => NULL'), '22004', qr/"workers" must not be null/, 'NULL workers');
fails_with($target, "SELECT * FROM fastcopy.compare('host=/nowhere', 't', 't')", '08001', qr/could not connect to the source/, 'no source');
fails_with($target, "BEGIN; CREATE TABLE young (id integer); " . $call->("'t'", "'young'"), '55000', qr/created or altered by the calling transaction/, 'a target that other sessions cannot see');
fails_with($target, "CREATE TEMP TABLE brief (LIKE t); " . $call->("'t'", "'brief'"), '0A000', qr/temporary table/, 'a temporary target');
fails_with($target, "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE; " . $call->("'t'", "'t'"), '55006', qr/the current transaction blocks it/, 'a session in its own way');
fails_with($target, $call->("'t'", "'t'", "filter => '1 / (id - 4000) < 5'"), '22012', qr/division by zero/, 'an error in the middle');
is($target->safe_psql('postgres', 'DO $$ BEGIN BEGIN PERFORM fastcopy.compare(' . "'$conninfo', 't', 't'" . '); EXCEPTION WHEN division_by_zero THEN NULL; END; END $$; SELECT 1'),
	'1', 'in a subtransaction');
no_leftovers($source, $target, 'after errors');

# Privileges are those of the caller, on both sides; rows hidden by a policy are an error.
on_both(q(CREATE ROLE reader LOGIN; CREATE TABLE secret (id integer PRIMARY KEY, s text); INSERT INTO secret SELECT i, 's' FROM generate_series(1, 1000) i));
my $nobody = "SET ROLE reader; ";
fails_with($target, $nobody . $call->("'secret'", "'secret'"), '42501', qr/permission denied for function compare/, 'PUBLIC has no EXECUTE');
$target->safe_psql('postgres', q(GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO reader;
	CREATE SERVER old FOREIGN DATA WRAPPER pg_fastcopy OPTIONS (dbname 'postgres'); GRANT USAGE ON FOREIGN SERVER old TO reader));
$target->safe_psql('postgres', "ALTER SERVER old OPTIONS (ADD host '" . $source->host . "', ADD port '" . $source->port . "');"
	. " CREATE USER MAPPING FOR reader SERVER old OPTIONS (user 'postgres', password 'sesame', password_required 'false')");
my $as_reader = "SELECT range, source_rows, target_rows, differs FROM fastcopy.compare('old', 'secret', 'secret')";
fails_with($target, $as_reader, '42501', qr/permission denied for table secret/, 'without SELECT on the target', user => 'reader');
$target->safe_psql('postgres', 'GRANT SELECT (id) ON secret TO reader');
fails_with($target, $as_reader, '42501', qr/permission denied for table secret/, 'with SELECT on another column', user => 'reader');
is($target->safe_psql('postgres', $as_reader =~ s/'secret'\)/'secret', columns => '{id}')/r, extra_params => [ '-U', 'reader' ]), 'total|1000|1000|f',
	'with SELECT on the column, of a foreign server');
$target->safe_psql('postgres', 'GRANT SELECT ON secret TO reader; ALTER TABLE secret ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON secret USING (id < 10)');
fails_with($target, $as_reader, '42501', qr/would be affected by row-level security policy/, 'row security on the target', user => 'reader');
$target->safe_psql('postgres', 'ALTER TABLE secret DISABLE ROW LEVEL SECURITY');
is($target->safe_psql('postgres', $as_reader, extra_params => [ '-U', 'reader' ]), 'total|1000|1000|f', '... and without');
fails_with($target, "SELECT * FROM fastcopy.compare('" . conninfo($source, user => 'postgres') . "', 'secret', 'secret')", '2F003', qr/password is required/,
	'the credentials of the server are not lent', user => 'reader');

# Cancelled, timed out, terminated in the middle: workers on both sides sleep in the filter.
on_both(q(CREATE FUNCTION nap(id integer) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$BEGIN PERFORM pg_sleep(600); RETURN true; END$$));
my $slow = "SELECT * FROM fastcopy.compare('$conninfo', 'plain', 'plain', 2, filter => 'public.nap(id)')";
my $asleep = sub {
	for my $node ($source, $target)
	{
		$node->poll_query_until('postgres', "SELECT count(*) >= 2 FROM pg_stat_activity WHERE wait_event = 'PgSleep'") or die 'nobody sleeps';
	}
};
for my $end (qw(pg_cancel_backend pg_terminate_backend worker))
{
	my $session = $target->background_psql('postgres', on_error_stop => 0);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	$session->{stdin} .= "$slow;\n";
	$session->{run}->pump_nb;
	$asleep->();
	unlike($target->safe_psql('postgres', "SELECT string_agg(to_jsonb(a)::text, ' ') FROM pg_stat_activity a WHERE backend_type LIKE 'fastcopy%'"), qr/sesame|host=/,
		'no connection string is shown');
	my $whom = $end eq 'worker' ? "(SELECT max(pid) FROM pg_stat_activity WHERE backend_type = 'fastcopy compare worker')" : $pid;
	$target->safe_psql('postgres', 'SELECT ' . ($end eq 'worker' ? 'pg_terminate_backend' : $end) . "($whom)");
	no_leftovers($source, $target, "$end in the middle");
	quit_quietly($session);
}
fails_with($target, "SET statement_timeout = '300ms'; $slow", '57014', qr/statement timeout/, 'statement_timeout in the middle');
no_leftovers($source, $target, 'after a timeout');

# The source is lost in the middle.
{
	$target->safe_psql('postgres', 'CREATE OR REPLACE FUNCTION nap(id integer) RETURNS boolean LANGUAGE sql AS $$SELECT true$$');
	my $session = $target->background_psql('postgres', on_error_stop => 0);
	$session->{stdin} .= "$slow;\n";
	$session->{run}->pump_nb;
	$source->poll_query_until('postgres', "SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event = 'PgSleep'") or die 'nobody sleeps';
	$source->safe_psql('postgres', "SELECT pg_terminate_backend(min(pid)) FROM pg_stat_activity WHERE application_name LIKE 'fastcopy compare%'");
	no_leftovers($source, $target, 'a lost connection');
	ok(defined seconds_until(sub { $session->{run}->pump_nb; $session->{stderr} =~ /ERROR:  terminating connection due to administrator command/ }),
		'... is an error with the source\'s words') or diag $session->{stderr};
	quit_quietly($session);
}

# A standby of the target can be compared too.
{
	$target->backup('base');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($target, 'base', has_streaming => 1);
	$standby->start;
	is($standby->safe_psql('postgres', "SELECT range, source_rows, target_rows, differs FROM fastcopy.compare('$conninfo', 'keys', 'keys') WHERE range = 'total'"),
		'total|1004|1003|t', 'a standby as target');
	no_leftovers($source, $standby, 'on a standby');
	$standby->stop;
}

# The total counts each side by the table's name, and ranges with another sum are a difference: here a row is hidden
# from the queries on the source that hash rows.
on_both(q(CREATE TABLE judged AS SELECT g AS id, md5(g::text) AS s FROM generate_series(1, 5000) g));
same('judged', 'judged', 5000, 'parts that add up');
{
	my $filter = q($$id <> 7 OR current_setting('cluster_name') <> 'source' OR current_query() NOT LIKE '%hashtext' || 'extended%'$$);
	my ($status, $stdout, $stderr) = run_verbose($target,
		"SELECT source_rows, target_rows, differs FROM fastcopy.compare('$conninfo', 'judged', 'judged', 2, filter => $filter) WHERE range = 'total'");
	is($stdout, '5000|5000|t', 'parts that do not add up: the total has the rows by name, and differs') or diag $stderr;
	like($stderr, qr/WARNING:  XX001: parts of source table "judged" do not add up to the table/, '... and there is a warning');
}

# Worker slots: fewer than requested is a warning, none is an error. Idle workers of waiting jobs occupy the slots.
$target->append_conf('postgresql.conf', "max_worker_processes = 2\n");
$target->restart;
my ($status, $stdout, $stderr) = run_verbose($target, $call->("'t'", "'t'", 'workers => 8'));
is($status, 0, 'fewer slots than asked for');
like($stderr, qr/WARNING:  53400: only \d of 8 workers could be started/, '... is a warning');
$target->append_conf('postgresql.conf', "max_worker_processes = 0\n");
$target->restart;
fails_with($target, $call->("'t'", "'t'"), '53400', qr/^out of background worker slots$/, 'no slot', hint => qr/max_worker_processes/);

unlike(slurp_file($target->logfile), qr/sesame/, 'no password in the log');

done_testing();
