# Constraints that PostgreSQL 18 introduced, on both sides: NOT NULL with names, not validated and not inherited; keys over
# periods; constraints that are not enforced; foreign keys of partitioned tables that are valid in a part of them. Virtual
# generated columns are in 012_columns.pl.
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
plan skip_all => 'PostgreSQL 18 introduced these' if major_version($target) < 18;
my $conninfo = conninfo($source);

sub wait_done
{
	my ($call) = @_;
	return $target->safe_psql('postgres', "SET fastcopy.chunk_size = 8; SELECT fastcopy.wait($call)");
}

sub agrees
{
	my ($table) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return like(compare_total($table, $table), qr/\|f$/, "$table: compare agrees");
}

# The constraints of the target, by name.
sub constraints
{
	return $target->safe_psql('postgres', q(SELECT conrelid::regclass, conname, contype, convalidated, conenforced, connoinherit FROM pg_constraint
		WHERE connamespace = 'public'::regnamespace ORDER BY 1::text, 2));
}

# NOT NULL. What is not validated holds for new rows only, so a column may have NULLs that a split by ranges must not lose.
on_both(q(
	CREATE TABLE named (id integer CONSTRAINT there_is_one NOT NULL, other integer, late text, CONSTRAINT "other's" NOT NULL other NO INHERIT);
	CREATE TABLE named_child (more integer CONSTRAINT more_too NOT NULL) INHERITS (named);
	CREATE TABLE not_validated (k integer, payload text);
	CREATE INDEX ON not_validated (k);
	CREATE TABLE by_range (id integer CONSTRAINT id_there NOT NULL, t text) PARTITION BY RANGE (id);
	CREATE TABLE by_range_1 PARTITION OF by_range FOR VALUES FROM (0) TO (1000);
	CREATE TABLE by_range_2 PARTITION OF by_range (CONSTRAINT t_there NOT NULL t) FOR VALUES FROM (1000) TO (3000)));
$source->safe_psql('postgres', q(
	INSERT INTO named SELECT g, g, 'late' FROM generate_series(1, 1000) g;
	INSERT INTO named_child SELECT g, NULL, 'child', g FROM generate_series(1, 1000) g;
	INSERT INTO not_validated SELECT CASE WHEN g % 7 > 0 THEN g END, repeat('x', 100) FROM generate_series(1, 3000) g;
	ALTER TABLE not_validated ADD CONSTRAINT k_there NOT NULL k NOT VALID;
	INSERT INTO by_range SELECT g, g FROM generate_series(0, 2999) g;
	ANALYZE));
$target->safe_psql('postgres', 'ALTER TABLE named DROP CONSTRAINT "other\'s"');
copies_equal($source, $target, name => 'NOT NULL with names, and a child without it', from => 'named', workers => [ 1, 3 ]);
copies_equal($source, $target, name => 'NULLs in a key that is NOT NULL but not validated', from => 'not_validated', args => q(key => 'k'),
	kinds => 'nulls,range', workers => [3]);
agrees('not_validated');
$target->safe_psql('postgres', 'TRUNCATE not_validated; ALTER TABLE not_validated ADD CONSTRAINT k_there NOT NULL k NOT VALID');
fails_with($target, 'SELECT ' . call_sql('copy', $source, source_table => 'not_validated', target_table => 'not_validated'),
	'23502', qr/null value in column "k" of relation "not_validated" violates not-null constraint/, 'NOT NULL that is not validated holds for rows that are copied');
copies_equal($source, $target, name => '... and others are copied', from => 'not_validated', args => q(filter => 'k IS NOT NULL'), workers => [3],
	expected => 'SELECT * FROM not_validated WHERE k IS NOT NULL');
copies_equal($source, $target, name => 'NOT NULL of a partition', from => 'by_range', workers => [3]);
$source->safe_psql('postgres', 'ALTER TABLE by_range_2 DROP CONSTRAINT t_there; INSERT INTO by_range VALUES (2999, NULL)');
fails_with($target, 'SELECT ' . call_sql('copy', $source, source_table => 'by_range', target_table => 'by_range', truncate => \'true'),
	'23502', qr/null value in column "t" of relation "by_range_2"/, '... holds for rows that are routed to it');
$source->safe_psql('postgres', 'DELETE FROM by_range WHERE t IS NULL');

# Virtual columns that may not be NULL, or are checked, have no value in the rows that are stored.
$source->safe_psql('postgres', 'CREATE TABLE halves (id integer); INSERT INTO halves SELECT generate_series(1, 1000)');
$target->safe_psql('postgres', q(CREATE TABLE halves (id integer, half integer GENERATED ALWAYS AS (nullif(id, 1001) / 2) VIRTUAL
	CONSTRAINT half_there NOT NULL CONSTRAINT small CHECK (half < 1000))));
copies_equal($source, $target, name => 'NOT NULL and CHECK of a virtual column', from => 'halves', workers => [3], actual => 'SELECT id FROM halves');
for my $case ([ 1001, '23502', qr/null value in column "half" of relation "halves"/ ], [ 2000, '23514', qr/violates check constraint "small"/ ])
{
	my ($id, $sqlstate, $message) = @$case;
	$source->safe_psql('postgres', "INSERT INTO halves VALUES ($id)");
	fails_with($target, 'SELECT ' . call_sql('copy', $source, source_table => 'halves', target_table => 'halves', truncate => \'true'), $sqlstate, $message, "... hold for $id");
	$source->safe_psql('postgres', "DELETE FROM halves WHERE id = $id");
}

# Keys over periods. A row refers to as many rows as cover its own period.
my $prices = q(CREATE TABLE prices (item int4range, during daterange, price numeric, CONSTRAINT prices_key PRIMARY KEY (item, during WITHOUT OVERLAPS)));
my $sales  = q(CREATE TABLE sales (item int4range, during daterange, note text, CONSTRAINT sales_key UNIQUE (item, during WITHOUT OVERLAPS),
	CONSTRAINT sales_price FOREIGN KEY (item, PERIOD during) REFERENCES prices (item, PERIOD during)));
on_both("$prices; $sales");
$source->safe_psql('postgres', q(
	INSERT INTO prices SELECT int4range(g % 50, g % 50 + 1), daterange(date '2020-01-01' + 10 * (g / 50), date '2020-01-11' + 10 * (g / 50)), g FROM generate_series(0, 1999) g;
	INSERT INTO sales SELECT int4range(g % 50, g % 50 + 1), daterange(date '2020-01-05' + 30 * (g / 50), date '2020-01-25' + 30 * (g / 50)), repeat('s', 100) FROM generate_series(0, 599) g;
	ANALYZE prices, sales));
my $state  = 'SELECT string_agg(concat(name, \' \', state), \',\' ORDER BY concat(name, \' \', state)) FROM fastcopy.foreign_keys WHERE job = (SELECT max(job) FROM fastcopy.status)';
is($target->safe_psql('postgres', 'SET fastcopy.chunk_size = 8; SELECT ' . call_sql('copy', $source, source_table => 'prices', target_table => 'prices', workers => 3)), 2000, 'a key over periods');
is($target->safe_psql('postgres', 'SET fastcopy.chunk_size = 8; SELECT ' . call_sql('copy', $source, source_table => 'sales', target_table => 'sales', workers => 3)), 600, '... and a foreign key to it');
agrees($_) for qw(prices sales);
$target->safe_psql('postgres', 'TRUNCATE sales');
is($target->safe_psql('postgres', 'SET fastcopy.chunk_size = 8; SELECT ' . call_sql('copy', $source, source_table => 'sales', target_table => 'sales', workers => 3,
			triggers => \'false', indexes => 'rebuild')),
	600, 'a foreign key over periods, checked in the end');
is($target->safe_psql('postgres', $state), 'sales_price checked', '... as the view says');
agrees('sales');
fails_with($target, q{INSERT INTO sales VALUES ('[0,1)', '[2020-01-06,2020-01-07)')}, '23P01', qr/"sales_key"/, 'the key that was rebuilt is enforced');
$source->safe_psql('postgres', q{ALTER TABLE sales DROP CONSTRAINT sales_price; INSERT INTO sales VALUES ('[7,8)', '[2030-01-01,2030-01-02)')});
$target->safe_psql('postgres', 'TRUNCATE sales');
fails_with($target, 'SELECT ' . call_sql('copy', $source, source_table => 'sales', target_table => 'sales', triggers => \'false'),
	'23503', qr/violates foreign key constraint "sales_price"/, 'a row outside of all periods is found in the end');
$source->safe_psql('postgres', q(DELETE FROM sales WHERE during @> date '2030-01-01'));

# Constraints that are not enforced, and foreign keys that are valid in one partition only, stay what they are.
on_both(q(
	CREATE TABLE parents (id integer PRIMARY KEY);
	-- Not the other parents: TRUNCATE does not see that a table with such a key is in its list, too.
	CREATE TABLE loose_parents (id integer PRIMARY KEY);
	CREATE TABLE loose (id integer CONSTRAINT positive CHECK (id > 0) NOT ENFORCED, parent integer CONSTRAINT loose_parent REFERENCES loose_parents NOT ENFORCED);
	CREATE TABLE children (id integer, parent integer) PARTITION BY RANGE (id);
	CREATE TABLE children_1 PARTITION OF children FOR VALUES FROM (0) TO (1000);
	CREATE TABLE children_2 PARTITION OF children FOR VALUES FROM (1000) TO (3000)));
$source->safe_psql('postgres', q(
	INSERT INTO parents SELECT generate_series(1, 500);
	INSERT INTO loose SELECT -g, -g FROM generate_series(1, 500) g;
	INSERT INTO children SELECT g, CASE WHEN g < 1000 THEN 1 + g % 500 ELSE -g END FROM generate_series(0, 1999) g));
$target->safe_psql('postgres', 'ALTER TABLE children ADD CONSTRAINT children_parent FOREIGN KEY (parent) REFERENCES parents NOT VALID');
my $key_of = q(SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid = 'children_1'::regclass);
my $key_1  = $target->safe_psql('postgres', $key_of);
$target->safe_psql('postgres', "ALTER TABLE children_1 VALIDATE CONSTRAINT $key_1; TRUNCATE prices, sales, named, named_child, by_range, halves");
my $before = constraints();
copies_equal($source, $target, name => 'constraints that are not enforced', from => 'loose', workers => [3]);
my $clone = "SELECT fastcopy.wait(fastcopy.clone('$conninfo', truncate => true, definitions => 'keep', workers => 3, tables => '{parents,loose_parents,loose,children,prices,sales,by_range,halves}'";
is($target->safe_psql('postgres', "$clone))"), 'done', 'a clone of all of these');
is(constraints(), $before, '... leaves the constraints as they were');
is($target->safe_psql('postgres', $state), join(',', sort("$key_1 checked", 'children_parent not valid', 'loose_parent not valid', 'sales_price checked')),
	'... and checks those that were valid');
is(table_digest($target, $_), table_digest($source, $_), "... and copies $_") for qw(parents loose children prices sales by_range);
agrees($_) for qw(parents loose children prices sales by_range);
$source->safe_psql('postgres', 'UPDATE children SET parent = -1 WHERE id = 7');
my ($status, undef, $stderr) = run_verbose($target, "$clone))");
like($stderr, qr/violates foreign key constraint "$key_1"/, 'what a valid key of a partition forbids is found');
$source->safe_psql('postgres', 'UPDATE children SET parent = 1 WHERE id = 7');
is($target->safe_psql('postgres', "$clone))"), 'done', '... and once it is gone, all is well');
is(constraints(), $before, '... and the constraints are as before');

# Definitions that are created. What is not enforced or not valid stays so, with rows that do not obey.
$source->safe_psql('postgres', q(
	CREATE TABLE doubtful (id integer CONSTRAINT small CHECK (id < 10) NOT ENFORCED, parent integer, other integer, span daterange);
	INSERT INTO doubtful SELECT g, -g, 1, daterange(date '1990-01-01', date '1990-01-01' + g) FROM generate_series(1, 1000) g;
	ALTER TABLE doubtful ADD CONSTRAINT not_yet CHECK (parent > 0) NOT VALID, ADD CONSTRAINT parent_not_yet FOREIGN KEY (parent) REFERENCES parents NOT VALID,
		ADD CONSTRAINT parent_never FOREIGN KEY (parent) REFERENCES loose_parents NOT ENFORCED, ADD CONSTRAINT other_valid FOREIGN KEY (other) REFERENCES parents,
		ADD CONSTRAINT other_deferred FOREIGN KEY (other) REFERENCES parents DEFERRABLE INITIALLY DEFERRED NOT VALID, ADD CONSTRAINT there NOT NULL span NOT VALID;
	ALTER TABLE children ADD CONSTRAINT children_never FOREIGN KEY (parent) REFERENCES loose_parents NOT ENFORCED,
		ADD CONSTRAINT children_not_yet FOREIGN KEY (parent) REFERENCES parents NOT VALID;
	CREATE TABLE of_parts (id integer PRIMARY KEY, child integer) PARTITION BY RANGE (id);
	CREATE TABLE of_parts_1 PARTITION OF of_parts FOR VALUES FROM (0) TO (1000);
	INSERT INTO of_parts SELECT g, -g FROM generate_series(1, 500) g;
	CREATE TABLE to_parts (id integer);
	INSERT INTO to_parts VALUES (7), (-7);
	ALTER TABLE to_parts ADD CONSTRAINT part_never FOREIGN KEY (id) REFERENCES of_parts NOT ENFORCED, ADD CONSTRAINT part_not_yet FOREIGN KEY (id) REFERENCES of_parts NOT VALID));
$target->safe_psql('postgres', 'CREATE DATABASE created TEMPLATE template0');
$target->safe_psql('created', 'CREATE EXTENSION pg_fastcopy');
my $definitions = q(SELECT conrelid::regclass, conname, conenforced, convalidated, pg_get_constraintdef(oid) FROM pg_constraint
	WHERE connamespace = 'public'::regnamespace ORDER BY conrelid::regclass::text, conname);
my $doubtful = $source->safe_psql('postgres', $definitions);
is($target->safe_psql('created', "SELECT fastcopy.wait(fastcopy.clone('$conninfo', workers => 3))"), 'done', 'a clone with definitions, of constraints that rows do not obey');
is($target->safe_psql('created', $definitions), $doubtful, '... has them as the source has');
cmp_ok(scalar(() = $doubtful =~ /NOT VALID/g), '>=', 6, '... of which some are not valid');
cmp_ok(scalar(() = $doubtful =~ /NOT ENFORCED/g), '>=', 6, '... and some not enforced');
is(join(' ', grep { table_digest($source, $_) ne table_digest($target, $_, 'created') } qw(parents loose_parents loose doubtful children of_parts to_parts not_validated named prices sales by_range)),
	'', '... and the rows');
fails_with($target, q(INSERT INTO doubtful (parent, span) VALUES (-1, 'empty')), '23514', qr/"not_yet"/, '... what is not valid holds for new rows', dbname => 'created');
no_leftovers($source, $target, 'definitions of newer constraints', dbname => 'created');
no_leftovers($source, $target, 'newer constraints');
done_testing();
