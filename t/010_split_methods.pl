# One table, however it is split and whatever the number of workers.
#
# Each kind of source relation is copied with 1, 2, 4 and 8 workers, in chunks of one block: even a small table then
# has dozens of chunks, and a row that is lost or doubled at a bound shows. The test also asserts how the planner has
# split the table: a table copied as one chunk would pass everything else.
#
# Keys are the subject of 011_keys.pl.
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

# The same definition on both sides unless a case says otherwise.
# A heap with everything that moves rows about: dead tuples, updated and toasted ones, empty blocks in
# the middle, and pages after the last row.
on_both('CREATE TABLE heap (id integer, payload text)');
$source->safe_psql(
	'postgres', q(
	INSERT INTO heap SELECT g, repeat(md5(g::text), 1 + g % 8) FROM generate_series(-500, 2500) g;
	INSERT INTO heap SELECT g, string_agg(md5((g * i)::text), '') FROM generate_series(5001, 5030) g,
		generate_series(1, 300) i GROUP BY g;
	DELETE FROM heap WHERE id BETWEEN 700 AND 900;
	UPDATE heap SET payload = payload || 'x' WHERE id % 5 = 0;
	DELETE FROM heap WHERE id BETWEEN 2400 AND 2500));
copies_equal($source, $target, name => 'heap, by block ranges', from => 'heap',
	kinds => 'blocks', min_chunks => 30);
copies_equal($source, $target, name => 'heap, in chunks of the size the planner chooses', from => 'heap',
	chunk_size => 0, kinds => 'whole', max_chunks => 1);

# More blocks of TOAST than of heap: cut as finely as its blocks allow.
on_both('CREATE TABLE toasted (id integer, payload text)');
$source->safe_psql(
	'postgres', q(
	ALTER TABLE toasted ALTER payload SET STORAGE EXTERNAL;
	INSERT INTO toasted SELECT g, repeat(md5(g::text), 400) FROM generate_series(1, 600) g));
copies_equal($source, $target, name => 'heap with most of it in TOAST', from => 'toasted',
	kinds => 'blocks', min_chunks => 4);

on_both('CREATE TABLE nothing (id integer, payload text)');
copies_equal($source, $target, name => 'empty table', from => 'nothing', kinds => 'whole', max_chunks => 1);
on_both('CREATE TABLE one_row (id integer, payload text)');
$source->safe_psql('postgres', q(INSERT INTO one_row VALUES (-1, NULL)));
copies_equal($source, $target, name => 'table of one row', from => 'one_row', kinds => 'whole', max_chunks => 1);

# All blocks are empty but one, before VACUUM and after it.
on_both('CREATE TABLE nearly_empty (id integer, payload text)');
$source->safe_psql(
	'postgres', q(
	INSERT INTO nearly_empty SELECT g, repeat('x', 500) FROM generate_series(1, 1000) g;
	DELETE FROM nearly_empty WHERE id <> 500));
copies_equal($source, $target, name => 'table of dead rows but one', from => 'nearly_empty',
	kinds => 'blocks', min_chunks => 20);
$source->safe_psql('postgres', 'DELETE FROM nearly_empty');
copies_equal($source, $target, name => 'table of dead rows only', from => 'nearly_empty', kinds => 'blocks');

# Only NULLs, and rows without any column that is copied being wider than its header.
on_both('CREATE TABLE only_nulls (a integer, b text, c jsonb)');
$source->safe_psql('postgres', 'INSERT INTO only_nulls SELECT NULL FROM generate_series(1, 3000)');
copies_equal($source, $target, name => 'table of NULLs', from => 'only_nulls', kinds => 'blocks', min_chunks => 5);

# Partitioned tables, into partitioned tables and into plain ones. Leaves differ from the root in the
# order of their columns and have dropped ones of their own.
my %roots = (
	list  => q(PARTITION BY LIST (region)),
	range => q(PARTITION BY RANGE (id)),
	hash  => q(PARTITION BY HASH (id)),
	deep  => q(PARTITION BY LIST (region)));
my %leaves = (
	list => q(
		CREATE TABLE list_a PARTITION OF list FOR VALUES IN ('a');
		CREATE TABLE list_bc (payload text, gone integer, region text, id integer);
		ALTER TABLE list_bc DROP gone;
		ALTER TABLE list ATTACH PARTITION list_bc FOR VALUES IN ('b', 'c');
		CREATE TABLE list_null PARTITION OF list FOR VALUES IN (NULL);
		CREATE TABLE list_rest PARTITION OF list DEFAULT;),
	range => q(
		CREATE TABLE range_low PARTITION OF range FOR VALUES FROM (MINVALUE) TO (0);
		CREATE TABLE range_mid PARTITION OF range FOR VALUES FROM (0) TO (1000);
		CREATE TABLE range_empty PARTITION OF range FOR VALUES FROM (5000) TO (6000);
		CREATE TABLE range_rest PARTITION OF range DEFAULT;),
	hash => q(
		CREATE TABLE hash_0 PARTITION OF hash FOR VALUES WITH (MODULUS 3, REMAINDER 0);
		CREATE TABLE hash_1 PARTITION OF hash FOR VALUES WITH (MODULUS 3, REMAINDER 1);
		CREATE TABLE hash_2 PARTITION OF hash FOR VALUES WITH (MODULUS 3, REMAINDER 2);),
	deep => q(
		CREATE TABLE deep_a PARTITION OF deep FOR VALUES IN ('a') PARTITION BY RANGE (id);
		CREATE TABLE deep_a_low PARTITION OF deep_a FOR VALUES FROM (MINVALUE) TO (500);
		CREATE TABLE deep_a_high PARTITION OF deep_a FOR VALUES FROM (500) TO (MAXVALUE) PARTITION BY HASH (id);
		CREATE TABLE deep_a_high_0 PARTITION OF deep_a_high FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE deep_a_high_1 PARTITION OF deep_a_high FOR VALUES WITH (MODULUS 2, REMAINDER 1);
		CREATE TABLE deep_bare PARTITION OF deep FOR VALUES IN ('q') PARTITION BY LIST (id);
		CREATE TABLE deep_rest PARTITION OF deep DEFAULT;));
for my $name (qw(list range hash deep))
{
	my $columns = 'id integer, region text, payload text';
	on_both("CREATE TABLE $name ($columns) $roots{$name}; $leaves{$name}; CREATE TABLE flat_$name ($columns)");
	$source->safe_psql(
		'postgres', qq(
		INSERT INTO $name SELECT g, (ARRAY['a', 'b', 'c', 'd', NULL])[1 + abs(g) % 5], md5(g::text)
			FROM generate_series(-400, 2600) g));
	copies_equal($source, $target, name => "partitioned by $name, into the same", from => $name,
		kinds => $name eq 'range' ? 'blocks,whole' : 'blocks', min_chunks => 10);
	copies_equal($source, $target, name => "partitioned by $name, into a plain table", from => $name,
		to => "flat_$name", workers => [ 1, 4 ]);
}
copies_equal($source, $target, name => 'plain table into a partitioned one', from => 'flat_list', to => 'list',
	expected => 'SELECT * FROM flat_list', workers => [4]);
$source->safe_psql('postgres', 'INSERT INTO flat_list SELECT * FROM list');
copies_equal($source, $target, name => 'plain table into a partitioned one, routed', from => 'flat_list',
	to => 'deep');
# Several levels on both sides, partitioned by other columns in another order, and back.
on_both(q(
	CREATE TABLE otherwise (payload text, id integer, region text) PARTITION BY HASH (id);
	CREATE TABLE otherwise_0 PARTITION OF otherwise FOR VALUES WITH (MODULUS 2, REMAINDER 0) PARTITION BY LIST (region);
	CREATE TABLE otherwise_0_a (region text, gone integer, id integer, payload text);
	ALTER TABLE otherwise_0_a DROP gone;
	ALTER TABLE otherwise_0 ATTACH PARTITION otherwise_0_a FOR VALUES IN ('a', NULL);
	CREATE TABLE otherwise_0_rest PARTITION OF otherwise_0 DEFAULT PARTITION BY RANGE (payload);
	CREATE TABLE otherwise_0_rest_1 PARTITION OF otherwise_0_rest FOR VALUES FROM (MINVALUE) TO ('8');
	CREATE TABLE otherwise_0_rest_2 PARTITION OF otherwise_0_rest FOR VALUES FROM ('8') TO (MAXVALUE);
	CREATE TABLE otherwise_1 PARTITION OF otherwise FOR VALUES WITH (MODULUS 2, REMAINDER 1)));
$source->safe_psql('postgres', 'INSERT INTO otherwise SELECT payload, id, region FROM deep');
my $in_order = 'SELECT id, region, payload FROM otherwise';
copies_equal($source, $target, name => 'several levels into other ones', from => 'deep', to => 'otherwise', kinds => 'blocks', actual => $in_order);
copies_equal($source, $target, name => '... and back', from => 'otherwise', to => 'deep', kinds => 'blocks', expected => $in_order);
copies_equal($source, $target, name => '... and a plain table into these', from => 'flat_list', to => 'otherwise', workers => [ 1, 4 ], actual => $in_order);
copies_equal($source, $target, name => '... and from these into a plain one', from => 'otherwise', to => 'flat_deep', workers => [ 1, 4 ], expected => $in_order);
like(compare_total('deep', 'otherwise'), qr/\|f$/, 'several levels compared with other ones');
copies_equal($source, $target, name => 'one partition', from => 'list_bc', to => 'flat_list',
	expected => 'SELECT id, region, payload FROM list_bc', kinds => 'blocks');
# After an interrupted DETACH CONCURRENTLY the partition is still listed, but its rows are no longer the parent's.
SKIP:
{
	skip 'nothing is detached concurrently before version 14', 1
	  if $source->safe_psql('postgres', 'SHOW server_version_num') < 140000;
	on_both(q(
		CREATE TABLE half (id integer) PARTITION BY LIST (id);
		CREATE TABLE half_1 PARTITION OF half FOR VALUES IN (1);
		CREATE TABLE half_2 PARTITION OF half FOR VALUES IN (2)));
	$source->safe_psql('postgres', 'INSERT INTO half VALUES (1), (2)');
	my $reader = $source->background_psql('postgres');
	$reader->query_safe('BEGIN; SELECT count(*) FROM half');
	my $detacher = $source->background_psql('postgres', on_error_stop => 0);
	$detacher->query_until(qr/sent/, "\\echo sent\nALTER TABLE half DETACH PARTITION half_2 CONCURRENTLY;\n\\echo over\n");
	$source->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pg_inherits WHERE inhdetachpending')
	  or die 'the partition is not being detached';
	$source->safe_psql('postgres', q(
		SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE half DETACH%'));
	$detacher->query_until(qr/over/, '');
	$detacher->quit;
	$reader->quit;
	copies_equal($source, $target, name => 'a partition that is half detached', from => 'half', rows => 1, workers => [1]);
}

on_both('CREATE TABLE bare (id integer) PARTITION BY LIST (id)');
copies_equal($source, $target, name => 'partitioned table without partitions', from => 'bare', workers => [ 1, 4 ]);

# A root, a branch and leaves that all have rows of their own; one leaf has two parents and must not be read twice.
# Each of them has a filter of its own.
on_both('CREATE TABLE ancestor (id integer, payload text)');
$source->safe_psql(
	'postgres', q(
	CREATE TABLE left_child () INHERITS (ancestor);
	CREATE TABLE right_child (extra integer) INHERITS (ancestor);
	CREATE TABLE grandchild () INHERITS (left_child, right_child);
	CREATE TABLE childless () INHERITS (ancestor);
	INSERT INTO ancestor SELECT g, md5(g::text) FROM generate_series(1, 1500) g;
	INSERT INTO left_child SELECT g, md5(g::text) FROM generate_series(2001, 3000) g;
	INSERT INTO right_child SELECT g, md5(g::text), g FROM generate_series(3001, 3500) g;
	INSERT INTO grandchild SELECT g, md5(g::text), g FROM generate_series(4001, 6000) g));
copies_equal($source, $target, name => 'inheritance, with rows in parents and children', from => 'ancestor',
	kinds => 'blocks,whole', min_chunks => 20);
copies_equal($source, $target, name => 'a branch of it', from => 'left_child', to => 'ancestor',
	args => q(columns => ARRAY['id', 'payload']), expected => 'SELECT id, payload FROM left_child');

# Into a table that others inherit from: it gets all rows itself, and truncating it empties these.
$target->safe_psql('postgres', q(
	CREATE TABLE heirs () INHERITS (ancestor);
	CREATE TABLE heirs_of_heirs (extra integer DEFAULT 7) INHERITS (heirs);
	CREATE INDEX ON heirs (id);
	INSERT INTO heirs_of_heirs VALUES (-1, 'old')));
copies_equal($source, $target, name => 'inheritance on both sides', from => 'ancestor', args => q(indexes => 'rebuild'), actual => 'SELECT * FROM ONLY ancestor',
	workers => [ 1, 4 ]);
like(compare_total('ancestor', 'ancestor'), qr/\|f$/, '... compared');

# Rows that were moved between partitions, by an update, before the copy.
$source->safe_psql('postgres', q(UPDATE range SET id = -id WHERE id BETWEEN 300 AND 1200));
copies_equal($source, $target, name => 'rows moved between partitions', from => 'range', workers => [ 1, 4 ]);

# Relations without useful block ranges: one chunk.
$source->safe_psql(
	'postgres', q(
	CREATE VIEW heap_view AS SELECT id, payload FROM heap WHERE id > 0;
	CREATE MATERIALIZED VIEW heap_summary AS SELECT id, payload FROM heap WHERE id % 2 = 0;
	CREATE MATERIALIZED VIEW heap_nothing AS SELECT id, payload FROM heap WHERE false));
copies_equal($source, $target, name => 'view', from => 'heap_view', to => 'heap',
	expected => 'SELECT * FROM heap_view', kinds => 'whole', max_chunks => 1);
copies_equal($source, $target, name => 'materialized view', from => 'heap_summary', to => 'heap',
	kinds => 'blocks', min_chunks => 10);
copies_equal($source, $target, name => 'empty materialized view', from => 'heap_nothing', to => 'heap',
	kinds => 'whole', workers => [ 1, 4 ]);

# A filter is part of every statement, and one that ends in a comment must not comment out the rest.
for my $table (qw(heap range deep ancestor heap_view heap_summary))
{
	(my $to = $table) =~ s/_(?:view|summary)$//;
	copies_equal($source, $target, name => "$table with a filter", from => $table, to => $to,
		args => q(filter => 'id % 3 = 1 OR id < 0 -- and more'), workers => [ 1, 4 ],
		expected => "SELECT * FROM $table WHERE id % 3 = 1 OR id < 0");
}

# A foreign table of the source: alone, as a partition, as a child, and as a parent.
SKIP:
{
	my $available = $source->safe_psql('postgres',
		q(SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'));
	skip 'postgres_fdw is not installed', 3 if !$available;
	my ($host, $port) = ($source->host, $source->port);
	$source->safe_psql(
		'postgres', qq(
		CREATE EXTENSION postgres_fdw;
		CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres');
		CREATE USER MAPPING FOR PUBLIC SERVER here;
		CREATE FOREIGN TABLE heap_elsewhere (id integer, payload text) SERVER here OPTIONS (table_name 'heap');
		CREATE TABLE mixed (id integer, payload text) PARTITION BY RANGE (id);
		CREATE TABLE mixed_high PARTITION OF mixed FOR VALUES FROM (10000) TO (20000);
		INSERT INTO mixed SELECT g, md5(g::text) FROM generate_series(10000, 12000) g;
		ALTER TABLE mixed ATTACH PARTITION heap_elsewhere FOR VALUES FROM (MINVALUE) TO (10000)));
	copies_equal($source, $target, name => 'foreign table', from => 'heap_elsewhere', to => 'heap',
		kinds => 'whole', max_chunks => 1);
	copies_equal($source, $target, name => 'partitioned table with a foreign partition', from => 'mixed',
		to => 'heap', kinds => 'blocks,whole');
	$source->safe_psql(
		'postgres', q(
		CREATE FOREIGN TABLE foreign_parent (id integer, payload text) SERVER here OPTIONS (table_name 'heap');
		CREATE TABLE local_child () INHERITS (foreign_parent);
		INSERT INTO local_child SELECT g, md5(g::text) FROM generate_series(20001, 21000) g));
	copies_equal($source, $target, name => 'foreign table with a local child', from => 'foreign_parent',
		to => 'heap', kinds => 'blocks,whole');
}

# A role that may read the table only through its root: PostgreSQL then checks no privilege on the partitions.
$source->safe_psql(
	'postgres', q(
	CREATE ROLE reader LOGIN;
	GRANT SELECT ON deep, heap, ancestor TO reader));
copies_equal($source, $target, name => 'role with privileges on the root of a partitioned table only',
	from => 'deep', to => 'flat_deep', source_words => { user => 'reader' }, workers => [ 1, 4 ]);
copies_equal($source, $target, name => 'role with privileges on the root of an inheritance tree only',
	from => 'ancestor', source_words => { user => 'reader' }, workers => [ 1, 4 ]);
# A role that may read only some of its columns.
$source->safe_psql(
	'postgres', q(
	CREATE ROLE partial LOGIN;
	GRANT SELECT (id) ON heap TO partial));
copies_equal($source, $target, name => 'role with privileges on a column only', from => 'heap',
	args => q(columns => ARRAY['id']), expected => 'SELECT id FROM heap', actual => 'SELECT id FROM heap',
	source_words => { user => 'partial' }, workers => [ 1, 4 ]);

# A table that is its own source, in another database or in the same one.
$target->safe_psql('postgres', 'CREATE TABLE heap_too (LIKE heap)');
copies_equal($target, $target, name => 'from the target server itself', from => 'heap', to => 'heap_too');

no_leftovers($source, $target, 'all split methods');
done_testing();
