# Targets that rows are inserted into by INSERT, and what that keeps of COPY's behaviour: views with INSTEAD OF
# triggers, tables with rules, foreign tables, partitions that are foreign tables.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair();
my $conninfo = conninfo($source);

# One value of each kind, in binary and (for money) in text.
$source->safe_psql('postgres', q(
	CREATE TABLE items (id bigint PRIMARY KEY, kind text, amount numeric(10,2), at timestamptz, tags text[], doc jsonb, nothing text);
	INSERT INTO items SELECT g, 'kind ' || g % 5, g / 7.0, '2024-01-01'::timestamptz + g * interval '1 minute', ARRAY[g::text, NULL],
		jsonb_build_object('g', g, 'text', repeat('x', g % 50)), CASE WHEN g % 2 = 0 THEN '' END FROM generate_series(1, 5000) g;
	CREATE TABLE paid AS SELECT *, (id / 100.0)::numeric::money AS pay FROM items;
	CREATE TABLE empty (LIKE items);
	CREATE TABLE wide (id int, big text);
	INSERT INTO wide SELECT g, repeat(md5(g::text), 60000) FROM generate_series(1, 8) g;));
my $items = 'id bigint, kind text, amount numeric(10,2), at timestamptz, tags text[], doc jsonb, nothing text';

sub copy_into
{
	my ($from, $to, %opts) = @_;
	my $workers = $opts{workers} // 3;
	return $target->safe_psql('postgres', 'SET fastcopy.chunk_size = 64; SELECT fastcopy.copy('
		  . join(', ', "'$conninfo', '$from', '$to', $workers", $opts{args} // ()) . ')');
}
sub latest { return $target->safe_psql('postgres', 'SELECT writer, writer_reason, format FROM fastcopy.job_table ORDER BY job DESC LIMIT 1'); }

# A view.
$target->safe_psql('postgres', qq(
	CREATE TABLE behind ($items, twice bigint GENERATED ALWAYS AS (id * 2) STORED);
	CREATE VIEW front AS SELECT id, kind, amount, at, tags, doc, nothing FROM behind;
	CREATE FUNCTION pass_on() RETURNS trigger LANGUAGE plpgsql AS \$\$
		BEGIN INSERT INTO behind VALUES (NEW.*); RETURN NEW; END \$\$;
	CREATE TRIGGER pass_on INSTEAD OF INSERT ON front FOR EACH ROW EXECUTE FUNCTION pass_on()));
is(copy_into('items', 'front'), '5000', 'into a view');
is(latest(), 'insert|it is a view|binary', 'through INSERT, in binary');
is(table_digest($target, '(SELECT * FROM front)'), table_digest($source, 'items'), 'all values are stored');
is(copy_into('empty', 'front'), '0', 'no rows are no rows');
$target->safe_psql('postgres', 'TRUNCATE behind; ALTER TABLE behind ADD pay money; CREATE OR REPLACE VIEW front AS
	SELECT id, kind, amount, at, tags, doc, nothing, pay FROM behind;
	CREATE OR REPLACE FUNCTION pass_on() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN INSERT INTO behind (id, kind, amount, at, tags, doc, nothing, pay) VALUES (NEW.*); RETURN NEW; END $$');
is(copy_into('paid', 'front'), '5000', 'into a view, in text');
is(latest(), 'insert|it is a view|text', 'through INSERT, in text');
is(table_digest($target, '(SELECT * FROM front)'), table_digest($source, 'paid'), 'all values are stored');
$target->safe_psql('postgres', q(
	CREATE OR REPLACE FUNCTION pass_on() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$));
copy_into('paid', 'front');
is($target->safe_psql('postgres', 'SELECT rows_copied, rows_stored FROM fastcopy.status ORDER BY job DESC LIMIT 1'), '5000|0',
	'rows that the trigger does not take are not stored');

# Types with modifiers, of all kinds, and some types made of others.
my $types = q(
	CREATE TYPE mood AS ENUM ('sad', 'ok');
	CREATE TYPE pair AS (a int, b text);
	CREATE DOMAIN positive AS int CHECK (VALUE > 0);
	CREATE DOMAIN label AS varchar(8)[];
	CREATE TABLE many (id int PRIMARY KEY, b bit(3), vb bit varying(9), c char(5), bp bpchar, k "char", n name, i interval day to second(2), ts timestamp(3),
		tm time(0), na numeric(10,2)[], va varchar(3)[], d positive, l label, m mood, ma mood[], p pair, r int4range, mr int4multirange, x xml,
		tsv tsvector, ip inet, mac macaddr, pt point, o oid, lsn pg_lsn, u uuid, j json, f4 real, bin bytea, "odd ""name" text COLLATE "C"));
$_->safe_psql('postgres', $types) for $source, $target;
$source->safe_psql('postgres', q~INSERT INTO many SELECT g, (g % 8)::bit(3), B'1011', 'ab', 'abc  ', 'x', 'name' || g, interval '1 day 2.345 s' * g, '2024-01-01 00:00:00.1234',
	'12:34:56', ARRAY[1.5, NULL, g], ARRAY['abc', 'x'], g, ARRAY['label'], 'ok', ARRAY['sad', 'ok']::mood[], ROW(g, 'p'::text)::pair, int4range(g, g + 5), '{[1,3),[7,9)}', '<a>1</a>',
	'a:1 fat:2', '10.0.0.1', '08:00:2b:01:02:03', point(g, 1), g, '0/16B3748', md5(g::text)::uuid, '{"a": 1}', 1.5, '\\xdeadbeef', 'odd'
	FROM generate_series(1, 300) g;
	INSERT INTO many (id) SELECT g FROM generate_series(301, 310) g~);
$target->safe_psql('postgres', q(
	CREATE VIEW many_front AS SELECT * FROM many;
	CREATE FUNCTION many() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO many VALUES (NEW.*); RETURN NEW; END $$;
	CREATE TRIGGER many INSTEAD OF INSERT ON many_front FOR EACH ROW EXECUTE FUNCTION many()));
is(copy_into('many', 'many_front'), '310', 'many types, in text');
is(table_digest($target, 'many'), table_digest($source, 'many'), 'all values are stored');
$target->safe_psql('postgres', 'TRUNCATE many');
is(copy_into('many', 'many_front', args => q(columns => '{id,b,vb,c,bp,k,n,i,ts,tm,na,va,d,l,m,r,mr,tsv,ip,mac,pt,o,lsn,u,j,f4,bin,"odd \"name"}')), '310', 'most of them, in binary');
like(latest(), qr/binary$/, 'it was binary');
$_->safe_psql('postgres', 'ALTER TABLE many DROP ma CASCADE, DROP p CASCADE, DROP x CASCADE') for $source, $target;
is(table_digest($target, 'many'), table_digest($source, 'many'), 'all values are stored');

# Rows larger than a batch.
$target->safe_psql('postgres', q(
	CREATE TABLE large (id int, big text);
	CREATE VIEW larger AS SELECT * FROM large;
	CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO large VALUES (NEW.*); RETURN NEW; END $$;
	CREATE TRIGGER keep INSTEAD OF INSERT ON larger FOR EACH ROW EXECUTE FUNCTION keep()));
is(copy_into('wide', 'larger'), '8', 'more than one batch in a chunk');
is(table_digest($target, 'large'), table_digest($source, 'wide'), 'all of them');

# Rules: an INSERT by the table's name obeys them, and each action reads the rows of the statement.
$target->safe_psql('postgres', qq(
	CREATE TABLE also ($items);
	CREATE TABLE log (id bigint);
	CREATE RULE also AS ON INSERT TO also DO ALSO INSERT INTO log VALUES (NEW.id);
	CREATE TABLE instead ($items);
	CREATE TABLE elsewhere ($items);
	CREATE RULE instead AS ON INSERT TO instead DO INSTEAD INSERT INTO elsewhere VALUES (NEW.*);
	CREATE TABLE never ($items);
	CREATE RULE never AS ON INSERT TO never DO INSTEAD NOTHING;
	CREATE TABLE partly ($items);
	CREATE RULE partly AS ON INSERT TO partly WHERE NEW.id > 2500 DO INSTEAD INSERT INTO elsewhere VALUES (NEW.*)));
is(copy_into('items', 'also'), '5000', 'a rule that does something else too');
is(latest(), 'insert|rules rewrite its INSERT|binary', 'is found in the plan');
is(table_digest($target, 'also'), table_digest($source, 'items'), 'all rows are stored');
is($target->safe_psql('postgres', 'SELECT count(*), count(DISTINCT id) FROM log'), '5000|5000', 'and the rule has seen each of them once');
is(copy_into('items', 'instead'), '5000', 'a rule that does something else instead');
is(table_digest($target, 'elsewhere'), table_digest($source, 'items'), 'all rows are where it has put them');
fails_with($target, "SELECT fastcopy.copy('$conninfo', 'items', 'never')", '0A000', qr/INSERT into "never" takes no rows/, 'a rule that takes no rows');
fails_with($target, "SELECT fastcopy.copy('$conninfo', 'items', 'partly')", 'XX001', qr/INSERT into "partly" was given \d+ rows, but has inserted \d+/,
	'a rule that may drop rows: they cannot be counted');
is($target->safe_psql('postgres', 'SELECT count(*) FROM never'), '0', 'nothing is left of it');

# The function returns nothing to other callers.
fails_with($target, 'SELECT * FROM fastcopy.incoming_rows() AS r(a int)', '55000', qr/can only be called by a fastcopy worker/, 'rows for workers only');

# An error of the input names the row, and an error of the target has the statement.
$source->safe_psql('postgres', q(CREATE TABLE bad (LIKE items); INSERT INTO bad TABLE items; ALTER TABLE bad ALTER kind TYPE varchar; UPDATE bad SET kind = repeat('x', 30) WHERE id = 77));
$target->safe_psql('postgres', q(CREATE VIEW narrow AS SELECT id, kind::varchar(20) AS kind FROM also;
	CREATE TRIGGER pass_on INSTEAD OF INSERT ON narrow FOR EACH ROW EXECUTE FUNCTION pass_on()));
fails_with($target, "SELECT fastcopy.copy('$conninfo', 'bad', 'narrow', 1, columns => '{id,kind}')", '22001', qr/value too long for type character varying\(20\)/,
	'a value that does not fit', context => qr/COPY narrow, line \d+, column kind/);

SKIP:
{
	my ($status) = $target->psql('postgres', 'CREATE EXTENSION postgres_fdw');
	skip 'postgres_fdw is not installed', 1 if $status != 0;
	my ($host, $port) = ($target->host, $target->port);
	$target->safe_psql('postgres', qq(
		CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres', batch_size '100');
		CREATE USER MAPPING FOR CURRENT_USER SERVER here;
		CREATE TABLE there ($items);
		CREATE FOREIGN TABLE away ($items) SERVER here OPTIONS (table_name 'there');
		CREATE TABLE mixed ($items) PARTITION BY RANGE (id);
		CREATE TABLE mixed_here PARTITION OF mixed FOR VALUES FROM (1) TO (3000);
		CREATE TABLE mixed_there ($items);
		CREATE FOREIGN TABLE mixed_away PARTITION OF mixed FOR VALUES FROM (3000) TO (9000) SERVER here OPTIONS (table_name 'mixed_there')));
	is(copy_into('items', 'away'), '5000', 'into a foreign table');
	is(latest(), 'insert|it is a foreign table|binary', 'through INSERT');
	is(table_digest($target, 'there'), table_digest($source, 'items'), 'all rows are stored');
	is(copy_into('items', 'mixed'), '5000', 'into a partitioned table with a foreign partition');
	is(latest(), 'insert|it has foreign tables as partitions|binary', 'through INSERT');
	is(table_digest($target, 'mixed'), table_digest($source, 'items'), 'all rows are stored');
	is($target->safe_psql('postgres', "SELECT source_rows, target_rows, differs FROM fastcopy.compare('$conninfo', 'items', 'mixed')"), '5000|5000|f',
		'the comparison agrees');
}

# Anything that hides rows from a SELECT by the table's name rules out the fast path; a plain table has it, whatever
# its indexes.
$target->safe_psql('postgres', qq(CREATE TABLE plain ($items)));
is(copy_into('items', 'plain'), '5000', 'a plain table');
is($target->safe_psql('postgres', 'SELECT reader, reader_reason, writer, writer_reason, warning IS NULL FROM fastcopy.job_table ORDER BY job DESC LIMIT 1'),
	'leaves|its plan has nothing but scans of tables|copy|the plan of its INSERT is a plain one|t', 'has the short ways, and the ledger says why');

# Crashes and terminated workers in the middle of a batch: see 080_hypertables and 081_distributed_tables.
no_leftovers($source, $target, 'inserts');

done_testing();
