# The copied tables, of every kind that chunks are cut from, and their targets.
#
# The tables on the source never change, so the expected rows are computed once.
package Torture::Tables;

use strict;
use warnings;

# drip(), in a job's filter, slows a copy down on the source without using CPU time.
my $prelude = q{
CREATE FUNCTION public.drip(every bigint, ms double precision, number bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF number % every = 0 THEN PERFORM pg_catalog.pg_sleep(ms / 1000); END IF;
	RETURN true;
END $$;
CREATE TABLE public.elsewhere (id bigint PRIMARY KEY, n bigint);
INSERT INTO public.elsewhere SELECT i, 0 FROM generate_series(1, 100) i;
CREATE TABLE public.companion (id bigint PRIMARY KEY, next bigint);
INSERT INTO public.companion SELECT i, 1 + i % 20000 FROM generate_series(1, 20000) i;
};

# Those that definitions to be created refer to. slowly() gives faults their time.
my $functions = q{
CREATE OR REPLACE FUNCTION public.spoil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := ''spoiled''; RETURN NEW; END';
CREATE OR REPLACE FUNCTION public.slowly(x bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS
	'BEGIN PERFORM pg_catalog.pg_sleep(0.02); RETURN x; END';
};

# Rows that others insert into a target have ids below it, and no other rows have.
our $id_of_others = -1000000;

# source     statements that make and fill the table on the source
# target     statements that make it on the target
# arguments  more arguments of fastcopy.start
# number     an expression that numbers the rows, for drip(), and the number of rows for a second of sleep
# chunk_size several, of which a job takes one
# indexes    how many the target has
# leaves     the target's partitions, and what ATTACH PARTITION is told of each
# twice      whether the target can take all rows a second time
# small_disk only where there is a tablespace on a small disk
# engine     only in a run with that engine, which has no other tables; its indexes cannot be rebuilt
# creates    a schema of several tables, whose definitions the job creates: its target is an empty schema
# relations  its tables, whose rows are copied
# results    what else it has rows in, in the end
# sequences  whose state is copied
my $items = q{SELECT i, 2 * i, CASE WHEN i % 7 = 0 THEN NULL ELSE 'name ' || i END FROM generate_series(1, 40000) i};
my %tables = (
	heap => {
		twice      => 1,
		source => "CREATE TABLE public.heap (id bigint, amount integer, name text);
			INSERT INTO public.heap $items",
		target     => 'CREATE TABLE public.heap (id bigint, amount integer, name text)',
		rows       => 40000,
		chunk_size => [ 32, 64, 128 ]
	},
	# Each row twice: a comparison of sets would not notice a lost one.
	twins => {
		twice      => 1,
		source => 'CREATE TABLE public.twins (id bigint, x double precision);
			INSERT INTO public.twins SELECT i / 2, i / 2 FROM generate_series(1, 60000) i',
		target     => 'CREATE TABLE public.twins (x double precision, id bigint)',
		rows       => 60000,
		chunk_size => [ 32, 64 ]
	},
	keyed => {
		twice      => 1,
		source => q{CREATE TABLE public.keyed (id integer, name text);
			INSERT INTO public.keyed
				SELECT CASE WHEN i % 20 = 0 THEN NULL ELSE i * (CASE WHEN i % 2 = 0 THEN 1 ELSE -1 END) END, 'name ' || i
				FROM generate_series(1, 40000) i;
			CREATE INDEX ON public.keyed (id)},
		target     => 'CREATE TABLE public.keyed (id integer, name text);
			CREATE INDEX ON public.keyed (id); CREATE INDEX ON public.keyed (name) WHERE id IS NULL',
		indexes    => 2,
		arguments  => { key => 'id' },
		rows       => 40000,
		number     => 'coalesce(abs(id), 1)',
		chunk_size => [ 32, 64 ]
	},
	wide => {
		twice      => 1,
		source => q{CREATE TABLE public.wide (id bigint, body text);
			ALTER TABLE public.wide ALTER COLUMN body SET STORAGE EXTERNAL;
			INSERT INTO public.wide SELECT i, (SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, 400) j)
				FROM generate_series(1, 400) i},
		target     => 'CREATE TABLE public.wide (id bigint, body text)',
		rows       => 400,
		chunk_size => [ 64, 128, 256 ]
	},
	parts => {
		twice      => 1,
		source => q{CREATE TABLE public.parts (id bigint, name text) PARTITION BY RANGE (id);
			CREATE TABLE public.parts_1 PARTITION OF public.parts FOR VALUES FROM (MINVALUE) TO (0);
			CREATE TABLE public.parts_2 PARTITION OF public.parts FOR VALUES FROM (0) TO (10000);
			CREATE TABLE public.parts_3 PARTITION OF public.parts FOR VALUES FROM (10000) TO (12000);
			CREATE TABLE public.parts_4 PARTITION OF public.parts DEFAULT;
			INSERT INTO public.parts SELECT i, 'name ' || i FROM generate_series(-9999, 20000) i;
			INSERT INTO public.parts SELECT NULL, 'no id ' || i FROM generate_series(1, 50) i},
		target => q{CREATE TABLE public.parts (id bigint, name text) PARTITION BY HASH (name);
			CREATE TABLE public.parts_0 PARTITION OF public.parts FOR VALUES WITH (MODULUS 3, REMAINDER 0);
			CREATE TABLE public.parts_1 PARTITION OF public.parts FOR VALUES WITH (MODULUS 3, REMAINDER 1);
			CREATE TABLE public.parts_2 PARTITION OF public.parts FOR VALUES WITH (MODULUS 3, REMAINDER 2);
			CREATE INDEX ON public.parts (id)},
		indexes    => 4,
		leaves     => { map { ("parts_$_" => "FOR VALUES WITH (MODULUS 3, REMAINDER $_)") } 0 .. 2 },
		rows       => 30050,
		number     => 'coalesce(abs(id), 1)',
		chunk_size => [ 32, 64 ]
	},
	# A doubled row is an error of the job here, which none of our faults explains.
	unique_rows => {
		source => "CREATE TABLE public.unique_rows (id bigint PRIMARY KEY, amount integer, name text);
			INSERT INTO public.unique_rows $items",
		target => 'CREATE TABLE public.unique_rows (id bigint PRIMARY KEY, amount integer, name text);
			CREATE INDEX ON public.unique_rows (lower(name)); CREATE UNIQUE INDEX ON public.unique_rows (amount, id)',
		indexes    => 3,
		rows       => 40000,
		chunk_size => [ 32, 64, 128 ]
	},
	# Rows are sent as text; a trigger, a default and a deferred constraint take part in each commit.
	texts => {
		twice      => 1,
		source => q{CREATE TABLE public.texts (id bigint, price money, tags text[]);
			INSERT INTO public.texts SELECT i, i, ARRAY['a' || i, NULL, E'\\\\\\t"\\n'] FROM generate_series(1, 30000) i},
		target => q{CREATE TABLE public.texts (id bigint, price money, tags text[]);
			CREATE OR REPLACE FUNCTION public.as_it_is() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
			CREATE TRIGGER before_row BEFORE INSERT ON public.texts FOR EACH ROW EXECUTE FUNCTION public.as_it_is();
			CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON public.texts
				DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.id % 1000 = 0) EXECUTE FUNCTION public.as_it_is()},
		rows       => 30000,
		chunk_size => [ 64, 128 ]
	},
	full_disk => {
		source => "CREATE TABLE public.full_disk (id bigint, amount integer, name text);
			INSERT INTO public.full_disk $items",
		target => 'CREATE TABLE public.full_disk (id bigint, amount integer, name text) TABLESPACE small_disk;
			CREATE INDEX ON public.full_disk (id) TABLESPACE small_disk',
		indexes    => 1,
		rows       => 40000,
		chunk_size => [ 32, 64 ],
		small_disk => 1
	},
	# Triggers, were they created before the rows, would change them.
	made => {
		creates => 1,
		source  => $functions . q{CREATE SCHEMA made;
			CREATE TABLE made.customers (id integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name text NOT NULL, friend integer, last_order bigint);
			CREATE TABLE made.orders (id bigserial PRIMARY KEY, customer integer NOT NULL, total numeric GENERATED ALWAYS AS (id * 1.1) STORED, CHECK (id > 0));
			CREATE TABLE made.lines (order_id bigint, line integer, item text COLLATE "C", PRIMARY KEY (order_id, line));
			CREATE TABLE made.events (id bigint, at date NOT NULL, what jsonb) PARTITION BY RANGE (at);
			CREATE TABLE made.events_1 PARTITION OF made.events FOR VALUES FROM (MINVALUE) TO ('2022-01-01');
			CREATE TABLE made.events_2 (what jsonb, at date NOT NULL, id bigint);
			ALTER TABLE made.events ATTACH PARTITION made.events_2 FOR VALUES FROM ('2022-01-01') TO ('2024-01-01');
			CREATE TABLE made.events_3 PARTITION OF made.events DEFAULT;
			CREATE TABLE made.loose (a integer, b integer);
			INSERT INTO made.customers (name, friend, last_order) SELECT 'customer ' || i, 1 + i % 2000, 1 + i * 7 % 10000 FROM generate_series(1, 2000) i;
			INSERT INTO made.orders (customer) SELECT 1 + i % 2000 FROM generate_series(1, 10000) i;
			INSERT INTO made.lines SELECT 1 + i / 2, i % 2, 'item ' || i % 300 FROM generate_series(0, 19999) i;
			INSERT INTO made.events SELECT 1 + i % 10000, date '2020-01-01' + i % 2500, jsonb_build_object('n', i, 'word', md5(i::text)) FROM generate_series(1, 7999) i;
			INSERT INTO made.loose VALUES (1, -1);
			ALTER TABLE made.customers ADD FOREIGN KEY (friend) REFERENCES made.customers DEFERRABLE,
				ADD FOREIGN KEY (last_order) REFERENCES made.orders;
			ALTER TABLE made.orders ADD FOREIGN KEY (customer) REFERENCES made.customers ON DELETE CASCADE;
			ALTER TABLE made.lines ADD FOREIGN KEY (order_id) REFERENCES made.orders;
			ALTER TABLE made.events ADD PRIMARY KEY (at, id);
			ALTER TABLE made.events ADD FOREIGN KEY (id) REFERENCES made.orders;
			ALTER TABLE made.loose ADD CHECK (b > 0) NOT VALID;
			ALTER TABLE made.loose ADD FOREIGN KEY (b) REFERENCES made.customers NOT VALID;
			CREATE INDEX ON made.orders (customer);
			CREATE INDEX ON made.lines (lower(item)) WHERE line = 1;
			CREATE UNIQUE INDEX lines_item ON made.lines (item, order_id, line);
			CREATE INDEX ON made.events USING gin (what);
			CREATE INDEX events_1_what ON made.events_1 ((what ->> 'word'));
			ALTER TABLE made.lines CLUSTER ON lines_item;
			CREATE VIEW made.names AS SELECT name FROM made.customers;
			CREATE MATERIALIZED VIEW made.totals AS SELECT customer, count(*) AS orders FROM made.orders GROUP BY 1;
			CREATE UNIQUE INDEX ON made.totals (customer);
			CREATE MATERIALIZED VIEW made.most AS SELECT max(public.slowly(orders)) FROM (SELECT orders FROM made.totals LIMIT 10) t;
			CREATE INDEX ON made.customers (public.slowly(id)) WHERE id <= 10;
			CREATE TRIGGER spoil BEFORE INSERT ON made.customers FOR EACH ROW EXECUTE FUNCTION public.spoil();
			CREATE RULE nothing AS ON INSERT TO made.names DO INSTEAD NOTHING;
			ALTER TABLE made.customers ENABLE ROW LEVEL SECURITY;
			CREATE POLICY all_of_them ON made.customers USING (true);
			CREATE SEQUENCE made.numbers INCREMENT -3;
			SELECT setval('made.numbers', -30, false);
			GRANT SELECT ON made.orders TO PUBLIC;
			COMMENT ON TABLE made.loose IS 'loose';
			COMMENT ON INDEX made.lines_item IS 'items'},
		slowed     => 'made.lines',
		number     => 'order_id',
		relations  => [qw(made.customers made.orders made.lines made.events made.loose)],
		results    => [qw(made.totals made.most)],
		sequences  => [qw(made.customers_id_seq made.orders_id_seq made.numbers)],
		rows       => 40000,
		chunk_size => [ 32, 64, 128 ]
	},
	hypertable => {
		twice  => 1,
		engine => 'timescaledb',
		source => "CREATE TABLE public.hypertable (id bigint, amount integer, name text);
			INSERT INTO public.hypertable $items",
		target => q{CREATE TABLE public.hypertable (id bigint, amount integer, name text);
			SELECT create_hypertable('public.hypertable', 'id', chunk_time_interval => 6000, create_default_indexes => false);
			CREATE INDEX ON public.hypertable (amount)},
		indexes    => 1,
		rows       => 40000,
		chunk_size => [ 32, 64, 128 ]
	},
	# A doubled row is an error here.
	unique_hypertable => {
		engine => 'timescaledb',
		source => q{CREATE TABLE public.unique_hypertable (id bigint, price money, tags text[]);
			INSERT INTO public.unique_hypertable SELECT i, i, ARRAY['a' || i, NULL] FROM generate_series(1, 30000) i},
		target => q{CREATE TABLE public.unique_hypertable (tags text[], id bigint PRIMARY KEY, price money);
			SELECT create_hypertable('public.unique_hypertable', 'id', chunk_time_interval => 10000, create_default_indexes => false)},
		indexes    => 1,
		rows       => 30000,
		chunk_size => [ 64, 128 ]
	},
	distributed => {
		twice  => 1,
		engine => 'citus',
		source => "CREATE TABLE public.distributed (id bigint, amount integer, name text);
			INSERT INTO public.distributed $items",
		target => q{CREATE TABLE public.distributed (id bigint, amount integer, name text);
			CREATE INDEX ON public.distributed (amount);
			SELECT create_distributed_table('public.distributed', 'id')},
		indexes    => 1,
		rows       => 40000,
		chunk_size => [ 32, 64, 128 ]
	},
	unique_distributed => {
		engine => 'citus',
		source => q{CREATE TABLE public.unique_distributed (id bigint, price money, tags text[]);
			INSERT INTO public.unique_distributed SELECT i, i, ARRAY['a' || i, NULL] FROM generate_series(1, 30000) i},
		target => q{CREATE TABLE public.unique_distributed (tags text[], id bigint PRIMARY KEY, price money);
			SELECT create_distributed_table('public.unique_distributed', 'id')},
		indexes    => 1,
		rows       => 30000,
		chunk_size => [ 64, 128 ]
	},
	reference => {
		twice  => 1,
		engine => 'citus',
		source => "CREATE TABLE public.reference (id bigint, amount integer, name text);
			INSERT INTO public.reference SELECT i, 2 * i, 'name ' || i FROM generate_series(1, 10000) i",
		target => q{CREATE TABLE public.reference (id bigint, amount integer, name text);
			SELECT create_reference_table('public.reference')},
		rows       => 10000,
		chunk_size => [ 32, 64 ]
	});

# A run uses some of them.
my $engine = '';

sub use_engine
{
	($engine) = @_;
	return;
}

sub names
{
	my ($small_disk) = @_;
	return grep { ($tables{$_}{engine} // '') eq $engine && ($small_disk || !$tables{$_}{small_disk}) } sort keys %tables;
}

sub table
{
	my ($name) = @_;
	return $tables{$name};
}

# The other table of a job of two: its rows refer to each other in a circle.
sub make_companion
{
	my ($target) = @_;
	$target->rows('DROP TABLE IF EXISTS public.companion');
	$target->rows('CREATE TABLE public.companion (id bigint PRIMARY KEY, next bigint REFERENCES public.companion)');
	return;
}

# What is wrong with the companion of a job that is done; undef if nothing is.
sub fault_of_companion
{
	my ($target) = @_;
	my ($rows, $different, $right, $valid) = @{ $target->rows(q(
		SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE id BETWEEN 1 AND 20000 AND next = 1 + id % 20000),
			(SELECT bool_and(convalidated) FROM pg_constraint WHERE conrelid = 'public.companion'::regclass AND contype = 'f')
		FROM public.companion))->[0] };
	return if $rows == 20000 && $different == 20000 && $right == 20000 && $valid eq 't';
	return "$rows rows, $different ids, $right of them right, foreign key valid: $valid";
}

# Creates everything on the source, and the expected digests.
sub prepare
{
	my ($source) = @_;
	$source->rows($prelude);
	for my $name (names(1))
	{
		$source->rows($tables{$name}{source});
		$source->rows("VACUUM (ANALYZE) $_") for _relations_of($name);
		$tables{$name}{indexes} //= $tables{$name}{creates} ? $source->value(index_count_sql($name)) : 0;
		$tables{$name}{digest} = digest($source, $name);
		die "$name is not what it should be\n" unless $tables{$name}{digest} =~ /^$tables{$name}{rows} /;
	}
	# WAL has sequences ahead of their values: replayed by crash recovery, it would advance them.
	$source->rows('CHECKPOINT');
	return;
}

sub _relations_of
{
	my ($name) = @_;
	return @{ $tables{$name}{relations} || ["public.$name"] };
}

# One line that changes with any row and depends neither on their order nor on that of the columns: the number of
# rows, and the sum of their hashes. Of several tables it is followed by a line of each, and of each result.
sub digest
{
	my ($server, $name) = @_;
	if ($tables{$name}{creates})
	{
		return join "\n", $server->value('SELECT ' . count_sql($name)) . ' rows',
		  (map { "$_: " . $server->value("SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM $_ t") }
			  _relations_of($name), @{ $tables{$name}{results} }),
		  map { "$_: " . $server->value("SELECT last_value || ' ' || is_called FROM $_") } @{ $tables{$name}{sequences} };
	}
	my $columns = _columns($name);
	return $server->value("SELECT count(*) || ' ' || coalesce(sum(hashtextextended(ROW($columns)::text, 0)::numeric), 0)
		FROM public.$name");
}

# The OIDs of the target and its partitions, as SQL.
sub relations
{
	my ($name) = @_;
	return "SELECT c.oid FROM pg_class c WHERE relnamespace = '$name'::regnamespace" if $tables{$name}{creates};
	my @names = ($name, sort keys %{ $tables{$name}{leaves} || {} });
	return join ', ', map { "'public.$_'::regclass" } @names;
}

sub index_count_sql
{
	my ($name) = @_;
	return 'SELECT count(*) FROM pg_index WHERE indrelid IN (' . relations($name) . ')';
}

# The number of the target's rows, as SQL; those of a detached partition count too.
sub count_sql
{
	my ($name) = @_;
	my $leaves = $tables{$name}{leaves};
	my @relations = $leaves ? map { "public.$_" } sort keys %$leaves : _relations_of($name);
	return '(' . join(' + ', map { "(SELECT count(*) FROM $_)" } @relations) . ')';
}

sub _columns
{
	my ($name) = @_;
	my ($columns) = $tables{$name}{source} =~ /CREATE TABLE public\.\w+ \((.*?)\)(?:;| PARTITION)/s;
	return join ', ', map { /^\s*(\w+)/ } split /,/, $columns;
}

# The digest of the source's rows, each so many times.
sub digest_of_copies
{
	my ($server, $name, $copies) = @_;
	return $tables{$name}{digest} if $tables{$name}{creates};
	my ($count, $sum) = split ' ', $tables{$name}{digest};
	return $server->value("SELECT $copies * $count || ' ' || $copies * ($sum)::numeric");
}

# What a job finds: its target, with rows that truncate => true must remove once, and never again.
sub make_target
{
	my ($target, $name, $truncate) = @_;
	my $table = $tables{$name};
	if ($table->{creates})
	{
		drop_target($target, $name);
		$target->rows("CREATE SCHEMA $name");
		$target->rows($functions);
		return;
	}
	$target->rows("DROP TABLE IF EXISTS public.$name");
	$target->rows($table->{target});
	$target->rows("INSERT INTO public.$name (id) SELECT -i FROM generate_series(1, 100) i") if $truncate;
	return;
}

sub drop_target
{
	my ($target, $name) = @_;
	if ($tables{$name}{creates}) { $target->rows("DROP SCHEMA IF EXISTS $name CASCADE") }
	else { $target->rows("DROP TABLE IF EXISTS public.$_") for $name, sort keys %{ $tables{$name}{leaves} || {} } }
	return;
}

# The missing and the surplus rows of the target: two lists of [row, times].
sub differences
{
	my ($source, $target, $name, $copies) = @_;
	my $sql = $tables{$name}{creates}
	  ? join ' UNION ALL ', map { "SELECT '$_ ' || t::text FROM $_ t" } _relations_of($name), @{ $tables{$name}{results} }
	  : 'SELECT ROW(' . _columns($name) . ")::text FROM public.$name";
	my %balance;
	$balance{$_} += $copies for $source->column($sql);
	$balance{$_}-- for $target->column($sql);
	return (
		[ map { [ $_, $balance{$_} ] } grep { $balance{$_} > 0 } sort keys %balance ],
		[ map { [ $_, -$balance{$_} ] } grep { $balance{$_} < 0 } sort keys %balance ]);
}

# The table that is slowed down by filter().
sub slowed
{
	my ($name) = @_;
	return $tables{$name}{slowed} // "public.$name";
}

# The filter with which one worker copies the table in about so many seconds; undef for no seconds.
sub filter
{
	my ($name, $seconds) = @_;
	return undef unless $seconds;
	my $table = $tables{$name};
	my $every = $table->{rows} > 1000 ? 100 : 1;
	my $ms    = $seconds * 1000 * $every / $table->{rows};
	return sprintf 'public.drip(%d, %.3f, %s)', $every, $ms, $table->{number} // 'id';
}

1;
