# fastcopy.check: what would go wrong with fastcopy.clone, each finding shown by a case of it; that it finds nothing where there
# is nothing to find, and that it leaves nothing behind.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyNamespace '--mount';
use FakeSource;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair(target_conf => "max_locks_per_transaction = 10\nmax_wal_size = 32MB\nwal_level = replica\nmax_wal_senders = 4\n");

# Databases of the source and of the target: a pair per case, so that none sees what another needs.
my $pairs = 0;
my ($from, $to);

sub make_pair
{
	my ($sql, %options) = @_;
	$from = 'source_' . ++$pairs;
	$to   = "target_$pairs";
	$source->safe_psql('postgres', "CREATE DATABASE $from TEMPLATE template0 " . ($options{source} // ''));
	$target->safe_psql('postgres', "CREATE DATABASE $to TEMPLATE template0 " . ($options{target} // ''));
	$target->safe_psql($to, 'CREATE EXTENSION pg_fastcopy');
	$source->safe_psql($from, $sql);
	return;
}

sub check_sql
{
	my (%arguments) = @_;
	my %all = (source => q(') . conninfo($source, dbname => $from) . q('), workers => 2, %arguments);
	return 'SELECT * FROM fastcopy.check(' . join(', ', map { "$_ => $all{$_}" } sort keys %all) . ')';
}

# The findings, one a line: severity, object, finding and hint.
sub check { return $target->safe_psql($to, check_sql(@_)) }

# As another role of the target.
sub check_as
{
	my ($role, %arguments) = @_;
	return $target->safe_psql($to, "SET ROLE $role; " . check_sql(%arguments));
}

sub finds
{
	my ($findings, $name, @expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @missing = grep { $findings !~ /^$_/m } @expected;
	ok(!@missing, $name) or diag "not found:\n", join("\n", @missing), "\nbut:\n$findings";
	return;
}

sub finds_no
{
	my ($findings, $name, $pattern) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	unlike($findings, qr/^$pattern/m, $name);
	return;
}

# Nothing to find.
make_pair('CREATE TABLE items (id bigint PRIMARY KEY, name text, at timestamptz); CREATE VIEW names AS SELECT name FROM items');
is(check(), '', 'nothing is found where all is well');
is(check(tables => q('{items}'), filters => q('{"items": "id > 5"}')), '', '... with a filter');
my $everything = q(SELECT count(*) FROM pg_class WHERE relnamespace::regnamespace::text !~ '^(?:pg_|information_schema)');
my $before     = $target->safe_psql($to, $everything);

# The source.
finds(check(source => q('host=/nowhere dbname=postgres')), 'a source that does not answer', 'error\|source\|could not connect to the source server: .*/nowhere');
my $old = FakeSource->new($source, on => qr/^startup$/,
	change => sub { my (undef, $type, $body) = @_; return $type eq 'S' && $body =~ /^server_version\0/ ? parameter_status('server_version', '9.6.24') : undef });
finds(check(source => q(') . $old->conninfo(dbname => $from) . q(')), 'a source that is too old', 'error\|source\|the source is of version 9\.6, which is too old\|Copy from PostgreSQL 10');
my $new = FakeSource->new($source, on => qr/^startup$/,
	change => sub { my (undef, $type, $body) = @_; return $type eq 'S' && $body =~ /^server_version\0/ ? parameter_status('server_version', '99.1') : undef });
finds(check(source => q(') . $new->conninfo(dbname => $from) . q(')), 'a source that is newer than pg_dump', 'error\|source\|cannot create the definitions of a source of a newer version: .*\|.*keep');
finds(check(source => q(') . conninfo($target, dbname => $to) . q('), tables => q('{fastcopy.job}')), 'the database itself', 'error\|source\|the source is this database itself');
finds(check(source => q(') . conninfo($source, dbname => $from, sslpassword => 'sesame') . q(')), 'a secret that pg_dump cannot be given', 'error\|source\|connection option "sslpassword" cannot be passed on');
my $gone = FakeSource->new($source, on => qr/pg_total_relation_size/, change => sub { $_[0]->hang_up });
finds(check(source => q(') . $gone->conninfo(dbname => $from) . q(')), 'a source that goes away in the middle', 'error\|source\|.*(?:closed the connection|lost)');

# What the clone refuses.
finds(check(tables => q('{nothing}')), 'a pattern that matches nothing', 'error\|source\|no table on the source matches pattern "nothing" of argument "tables"');
finds(check(tables => q('{"a.b.c"}')), 'a bad pattern', 'error\|source\|invalid pattern: "a\.b\.c"\|Patterns are those');
finds(check(filters => q('{"items": "no such"}')), 'a filter that does not parse', 'error\|public\.items\|syntax error');
finds(check(filters => q('{"names": "true"}')), 'a filter of a table that is not copied', 'error\|source\|there is a filter for table "names", which is not copied\|A filter is');
finds(check(exclude => q('{items}')), 'no table', 'error\|source\|the source has no table that is to be copied');
fails_with($target, check_sql(workers => 0), '22023', qr/number of workers must be between/, 'invalid arguments are errors of the check itself', dbname => $to);
fails_with($target, check_sql(definitions => q('what')), '22023', qr/invalid value for argument "definitions"/, '... unknown values, too', dbname => $to);
fails_with($target, check_sql(truncate => 'true'), '22023', qr/argument "truncate" must be false/, '... and those that do not go together', dbname => $to);

# Tables.
make_pair(q(
	CREATE TYPE mood AS ENUM ('sad', 'happy');
	CREATE TABLE keyless (a int);
	CREATE UNLOGGED TABLE fleeting (a int PRIMARY KEY);
	CREATE TABLE guarded (a int PRIMARY KEY);
	ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
	CREATE TABLE moods (a int PRIMARY KEY, m mood, ms mood[]);
	CREATE FOREIGN DATA WRAPPER nothing;
	CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
	CREATE FOREIGN TABLE far (a int) SERVER nowhere;
	CREATE TABLE parts (a int PRIMARY KEY) PARTITION BY RANGE (a);
	CREATE TABLE near PARTITION OF parts FOR VALUES FROM (0) TO (10)));
is(check(workers => 4), join("\n",
	'info|public.far|rows of foreign tables are not copied|Copy them with fastcopy.copy, or read them from their server here, too.',
	'info|public.fleeting|the source table is unlogged|Its rows are lost in a crash of the source, and a standby does not have them.',
	'info|public.guarded|the source table has row security|All rows are copied, and its policies are created.',
	'info|public.keyless|the source table has no primary key|',
	'info|public.moods|rows go as text: column "ms" is of type _mood, whose binary form both sides are not known to share|Text takes longer to write and to read than binary.'),
	'tables without a key, unlogged, foreign, as text, with row security');
$source->safe_psql($from, q(CREATE TABLE split (a int) PARTITION BY RANGE (a); CREATE FOREIGN TABLE split_far PARTITION OF split FOR VALUES FROM (0) TO (10) SERVER nowhere));
finds(check(), 'partitions that are foreign tables', 'warning\|public\.split\|partitions of the source table are foreign tables\|Their rows are read');
add_scram_role($source, 'guest', 'CONNECTION LIMIT 2');
$source->safe_psql($from, 'GRANT SELECT ON guarded TO guest');
my $guest = q(') . conninfo($source, dbname => $from, user => 'guest', password => 'sesame') . q(');
finds(check(source => $guest), 'a role that may not read', 'error\|public\.keyless\|permission denied for table keyless', 'error\|public\.guarded\|query would be affected by row-level security policy');
finds(check(source => $guest), 'connections of the role', 'warning\|source\|the role on the source has 2 free connections, and 4 are wanted\|Use fewer workers');
finds(check(workers => 100), 'connections of the source, and worker slots', 'warning\|source\|the source has \d+ free connections, and 102 are wanted',
	'warning\|max_worker_processes\|\d+ background worker slots are free, and 101 are wanted');

# What definitions need.
my $space = PostgreSQL::Test::Utils::tempdir('space');
$source->safe_psql('postgres', "CREATE TABLESPACE only_there LOCATION '$space'");
$source->safe_psql('postgres', 'CREATE ROLE owner; CREATE ROLE reader; CREATE ROLE clerk');
make_pair(q(
	CREATE EXTENSION citext;
	CREATE SCHEMA sales;
	CREATE TYPE sales.mood AS ENUM ('sad');
	CREATE COLLATION sales.plain FROM "C";
	CREATE TABLE customers (id int PRIMARY KEY);
	CREATE TABLE sales.orders (id citext COLLATE sales.plain PRIMARY KEY, m sales.mood, customer int REFERENCES customers) TABLESPACE only_there;
	ALTER TABLE sales.orders OWNER TO owner;
	GRANT SELECT ON sales.orders TO reader;
	CREATE POLICY of_clerk ON sales.orders TO clerk));
my %role = (
	owner  => 'error\|role owner\|role "owner", an owner of objects of the source, does not exist here\|Create the role .* owners => false and privileges => false',
	reader => 'error\|role reader\|role "reader", which objects of the source name, does not exist here\|Create the role .* privileges => false',
	clerk  => 'error\|role clerk\|role "clerk", which objects of the source name, does not exist here\|Create the role with CREATE ROLE\.$');
my $space_missing = 'error\|tablespace only_there\|tablespace "only_there" of the source does not exist here\|Create the tablespace';
my $findings = check();
finds($findings, 'roles and tablespaces that do not exist here', values %role, $space_missing);
finds_no($findings, '... while schemas, types and what the database brings along need not', 'error\|(?:schema|type|collation|extension)');
$findings = check(owners => 'false', privileges => 'false');
finds($findings, 'the role of a policy is always needed', $role{clerk});
finds_no($findings, '... those of owners and privileges are not', 'error\|role (?:owner|reader)');
finds(check(tables => q('{sales.orders}')), 'what some tables need', values %role, $space_missing,
	'error\|extension citext\|extension "citext", which the tables need, is not installed here',
	'error\|schema sales\|schema "sales" of the source does not exist here', 'error\|type sales\.mood\|type sales\.mood of the source does not exist here',
	'error\|collation sales\.plain\|collation sales\.plain of the source does not exist here',
	'error\|source\|foreign keys refer to tables that are neither cloned nor exist here: public\.customers');
finds_no(check(tables => q('{customers}')), '... is needed by these alone', 'error');
finds_no(check(exclude => q('{sales.orders}')), '... and not by what is left out', 'error\|(?:role|tablespace)');
$target->safe_psql($to, q(CREATE EXTENSION citext VERSION '1.4'));
finds(check(), 'an extension of an older version', 'warning\|extension citext\|extension "citext" is of version 1\.4 here, and of version 1\.\d on the source\|Install .* ALTER EXTENSION');
$source->safe_psql($from, q(UPDATE pg_extension SET extname = 'Unheard of' WHERE extname = 'citext'));
finds(check(), 'an extension that cannot be had here', 'error\|extension "Unheard of"\|extension "Unheard of" of the source is not available here\|Install the extension');
$source->safe_psql($from, q(UPDATE pg_extension SET extname = 'citus' WHERE extname = 'Unheard of'));
finds(check(), 'an engine', 'error\|source\|cannot create the definitions of a source with extension "citus"');
$source->safe_psql($from, q(UPDATE pg_collation SET collprovider = 'c', collcollate = 'xx_XX.nothing' WHERE collname = 'plain'));
finds(check(), 'a locale that this server does not have', 'error\|collation sales\.plain\|collation sales\.plain of the source needs locale "xx_XX\.nothing"');
$source->safe_psql($from, q(UPDATE pg_collation SET collnamespace = 'pg_catalog'::regnamespace, oid = 16000 WHERE collname = 'plain'; UPDATE pg_attribute SET attcollation = 16000 WHERE attrelid = 'sales.orders'::regclass AND attname = 'id'));
finds(check(), '... or that its collations do not have', 'error\|collation pg_catalog\.plain\|collation pg_catalog\.plain of the source does not exist here\|Install the locale');

# Roles of the target.
$target->safe_psql($to, 'CREATE ROLE maker; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO maker; CREATE ROLE owner; CREATE ROLE reader; CREATE ROLE clerk');
$findings = check_as('maker', source => $guest);
finds($findings, 'a role that may not have pg_dump run', 'error\|target\|permission denied to create the definitions of the source: .*\|.*keep');
$source->safe_psql($from, 'ALTER ROLE guest CONNECTION LIMIT -1; GRANT USAGE ON SCHEMA sales TO guest; GRANT SELECT ON ALL TABLES IN SCHEMA public, sales TO guest');
$guest = q(') . conninfo($source, dbname => $from, user => 'guest', password => 'sesame') . q(');
$target->safe_psql($to, 'GRANT pg_execute_server_program TO maker; REVOKE CREATE ON SCHEMA public FROM PUBLIC');
$findings = check_as('maker', source => $guest);
finds_no($findings, '... or may', 'error\|target\|permission denied to create the definitions');
finds($findings, '... and what else a role may not', 'error\|role owner\|objects cannot be given to role "owner", as "maker" is not a member of it', 'error\|schema sales\|permission denied to create schema "sales"',
	'error\|schema public\|permission denied for schema public');

# Name clashes.
make_pair(q(
	CREATE TYPE mood AS ENUM ('sad');
	CREATE SEQUENCE numbers;
	CREATE TABLE items (id serial PRIMARY KEY, name text);
	CREATE INDEX items_name_idx ON items (name);
	CREATE TABLE apart (id int PRIMARY KEY);
	CREATE VIEW names AS SELECT name FROM items;
	CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT 2 * $1';
	CREATE PUBLICATION news));
$target->safe_psql($to, q(
	CREATE TABLE items (id int);
	CREATE TYPE mood AS ENUM ('other');
	CREATE TABLE names (a int);
	CREATE SEQUENCE numbers;
	CREATE VIEW items_id_seq AS SELECT 1 AS one;
	CREATE TYPE apart AS ENUM ('x');
	CREATE TABLE t (items_name_idx int);
	CREATE INDEX items_name_idx ON t (items_name_idx);
	CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT 3 * $1';
	CREATE FUNCTION twice(text) RETURNS int LANGUAGE sql AS 'SELECT 3';
	CREATE PUBLICATION news));
is(check(), join("\n", map { my ($name, $kind, $hint) = @$_; "error|$name|$kind $name exists here already|" . ($hint // 'Drop or rename it.') }
	  [ 'news', 'publication' ], [ 'public.apart', 'type' ], [ 'public.items', 'table', 'Drop it, leave it out with the argument "exclude", or copy into tables that exist with definitions => \'keep\'.' ],
	  [ 'public.items_id_seq', 'view' ], [ 'public.items_name_idx', 'index' ], [ 'public.mood', 'type' ],
	  [ 'public.names', 'table', 'Drop it, leave it out with the argument "exclude", or copy into tables that exist with definitions => \'keep\'.' ],
	  [ 'public.numbers', 'sequence' ], [ 'public.twice(integer)', 'function' ]), 'what exists here already');
is(check(tables => q('{apart}')), 'error|public.apart|type public.apart exists here already|Drop or rename it.', '... if it is to be created');

# Large objects and subscriptions, which are of a whole database.
make_pair(q(
	SELECT lo_create(7001), lo_create(7002), lo_create(7003);
	CREATE TABLE items (id int PRIMARY KEY);
	CREATE SUBSCRIPTION "News" CONNECTION 'dbname=nothing' PUBLICATION p WITH (connect = false)));
my $subscribed = 'info|subscription "News"|subscription "News" of the source is not created|To subscribe here, too, run CREATE SUBSCRIPTION after the clone.';
$target->safe_psql($to, 'SELECT lo_create(6999), lo_create(7004)');
is(check(), $subscribed, 'a subscription, and large objects with other ids');
$target->safe_psql($to, 'SELECT lo_create(7003), lo_create(7002)');
is(check(), 'error|large object 7002|large objects of the source exist here already, the first is 7002|Remove them with lo_unlink, or clone into another database.' . "\n$subscribed", '... and with the same');
is(check(tables => q('{items}')), '', '... which a clone of some tables leaves alone');
fails_with($target, 'SELECT fastcopy.clone(' . (check_sql() =~ s/.*check\(//r), '23505', qr/duplicate key value violates unique constraint "pg_largeobject_metadata_oid_index"/, '... while that of all fails',
	dbname => $to, detail => qr/^Key \(oid\)=\(7002\) already exists/);
$target->safe_psql($to, 'SELECT lo_unlink(oid) FROM pg_largeobject_metadata; SELECT lo_create(g) FROM generate_series(20001, 140000) g; SELECT lo_create(7003)');
$source->safe_psql($from, 'SELECT lo_unlink(7001), lo_unlink(7002), lo_unlink(7003), lo_create(139999)');
finds(check(), 'one large object among many', 'error\|large object 139999\|large objects of the source exist here already, the first is 139999');
$source->safe_psql($from, 'ALTER SUBSCRIPTION "News" SET (slot_name = NONE); DROP SUBSCRIPTION "News"');

# Targets that exist.
make_pair(q(
	CREATE TABLE items (id int PRIMARY KEY, name text, price money);
	CREATE TABLE wide (id int PRIMARY KEY, more int);
	CREATE TABLE absent (id int PRIMARY KEY);
	CREATE TABLE parts (id int PRIMARY KEY)));
$target->safe_psql($to, q(
	CREATE TABLE items (id int PRIMARY KEY, name text, price money);
	CREATE TABLE wide (id int PRIMARY KEY);
	CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
	CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
	CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
	CREATE TRIGGER touch BEFORE INSERT ON parts_1 FOR EACH ROW EXECUTE FUNCTION touch();
	CREATE TRIGGER on_update BEFORE UPDATE ON parts_1 FOR EACH ROW EXECUTE FUNCTION touch();
	CREATE PUBLICATION chosen FOR TABLE items, parts_1;
	CREATE PUBLICATION all_of_it FOR ALL TABLES));
my %keep = (definitions => q('keep'));
finds(check(%keep), 'targets that exist', 'error\|public\.absent\|table public\.absent of the source does not exist here\|Have it created',
	'error\|public\.wide\|column "more" of source table "public\.wide" does not exist in target table "public\.wide"',
	'info\|public\.items\|rows go as text: column "price" is of type money',
	'warning\|public\.parts\|trigger "touch" fires for the rows\|To leave triggers out, use triggers => false',
	'warning\|publication chosen\|publication "chosen" has 2 of the tables', 'warning\|publication all_of_it\|publication "all_of_it" is for all tables');
finds_no(check(%keep), '... without rows', '.*has rows already');
$target->safe_psql($to, q(INSERT INTO items VALUES (1)));
finds(check(%keep), 'rows that exist', 'warning\|public\.items\|the target table has rows already\|Those of the source are added\. .*truncate => true');
finds_no(check(%keep, truncate => 'true'), '... but for truncate => true', '.*has rows already');
$target->safe_psql($to, q(TRUNCATE items; ALTER TABLE parts_1 DISABLE TRIGGER touch; INSERT INTO parts VALUES (5); ALTER TABLE parts_1 ENABLE TRIGGER touch));
finds(check(%keep), '... in a partition', 'warning\|public\.parts\|the target table has rows already');
$target->safe_psql($to, 'TRUNCATE parts');
$_->[0]->safe_psql($_->[1], 'CREATE TABLE heirless (id int PRIMARY KEY); CREATE TABLE heir (PRIMARY KEY (id)) INHERITS (heirless)') for [ $source, $from ], [ $target, $to ];
$target->safe_psql($to, 'INSERT INTO heir VALUES (1)');
my $heirs = check(%keep);
finds($heirs, '... in a table that inherits', 'warning\|public\.heir\|the target table has rows already');
finds_no($heirs, '... which are not those of the other', '.*public\.heirless.*has rows already');
$_->[0]->safe_psql($_->[1], 'DROP TABLE heirless CASCADE') for [ $source, $from ], [ $target, $to ];
finds_no(check(%keep), '... without what definitions would need', '\w+\|(?:role|schema)');
finds_no(check(%keep), '... and triggers that do not fire', '.*on_update');
finds_no(check(%keep, triggers => 'false'), '... or are left out', '.*touch');
$source->safe_psql($from, 'GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest');
$target->safe_psql($to, 'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO maker');
$guest = q(') . conninfo($source, dbname => $from, user => 'guest', password => 'sesame') . q(');
finds(check_as('maker', %keep, source => $guest), 'a role that may not write', 'error\|public\.items\|permission denied for table items');
is($target->safe_psql($to, q(SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text = 'public')),
	'items parts_1 wide', 'nothing is created');

# Encodings and collations.
make_pair('CREATE TABLE items (id int PRIMARY KEY)', target => q(ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'));
finds(check(), 'another encoding', 'warning\|source\|texts are converted from encoding UTF8 to LATIN1\|A character');
make_pair('CREATE TABLE items (id int PRIMARY KEY, name text)', source => q(ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'));
finds(check(), 'no encoding', q(warning\|source\|the source's encoding is SQL_ASCII: its bytes must be valid as UTF8\|.*source_encoding));
finds(check(source_encoding => q('LATIN1')), '... or one that is given', 'info\|source\|texts are converted from encoding SQL_ASCII to UTF8', 'info\|public\.items\|rows go as text: column "name" is of type text, which has text to convert');
SKIP:
{
	skip 'this machine does not have the locale C.UTF-8', 1
	  unless eval { make_pair('CREATE TABLE items (id int PRIMARY KEY)', source => q(LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8')); 1 };
	finds(check(), 'another collation', q(warning\|source\|the default collation of the source's database is "C\.UTF-8 C\.UTF-8.*", here it is "C C));
}

# ICU's locales, of databases and of collations that are not created.
SKIP:
{
	skip 'this server, or its source, has no ICU locales', 4 unless $target->safe_psql('postgres', q(SELECT count(*) > 0 FROM pg_collation WHERE collprovider = 'i')) eq 't' && major_version($target) >= 15;
	my $icu = q(LOCALE_PROVIDER icu ICU_LOCALE '%s' LC_COLLATE 'C' LC_CTYPE 'C');
	make_pair('CREATE TABLE items (id int PRIMARY KEY)', source => sprintf($icu, 'de'), target => sprintf($icu, 'sv'));
	finds(check(), q(another ICU locale of the database), q(warning\|source\|the default collation of the source's database is "C C i de.*", here it is "C C i sv));
	make_pair('CREATE TABLE items (id int PRIMARY KEY)', source => sprintf($icu, 'sv'), target => sprintf($icu, 'sv'));
	is(check(), '', '... or the same');
	my $names = q(CREATE COLLATION names (provider = icu, locale = '%s'); CREATE COLLATION plain FROM "C"; CREATE TABLE %s (id int PRIMARY KEY, name text COLLATE names, p text COLLATE plain, s text COLLATE "sv-x-icu"));
	make_pair(sprintf $names, 'de', 'items');
	$target->safe_psql($to, sprintf $names, 'sv', 'others');
	is(check(tables => q('{items}')), 'warning|collation public.names|the locale of collation public.names is "i de" on the source, here it is "i sv"|Texts sort differently.', 'another ICU locale of a collation');
	$target->safe_psql($to, 'DROP TABLE others; DROP COLLATION names, plain');
	is(check(), '', '... which is created with the database');
}

# Locks: about three per table.
make_pair('DO $$ BEGIN FOR i IN 1 .. 200 LOOP EXECUTE format(\'CREATE TABLE t%s (id int PRIMARY KEY)\', i); END LOOP; END $$');
my $locks = 'max_locks_per_transaction\|definitions are created in one transaction, with about \d+ locks, and this server has room for \d+\|Raise';
finds(check(), 'many tables for the lock table', "warning\\|$locks");
$source->safe_psql($from, 'DO $$ BEGIN FOR i IN 201 .. 400 LOOP EXECUTE format(\'CREATE TABLE t%s (id int PRIMARY KEY)\', i); END LOOP; END $$');
finds(check(), '... and too many', "error\\|$locks");
finds_no(check(tables => q('{t1}')), '... while one is not', '.*\|max_locks');

# Disk space and WAL.
make_pair(q(CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items SELECT g, repeat('x', 100) FROM generate_series(1, 300000) g));
finds(check(), 'checkpoints', 'info\|max_wal_size\|the load of \d+ MB makes checkpoints frequent: max_wal_size is 32 MB\|Raise max_wal_size and checkpoint_timeout',
	'info\|wal_level\|index builds are written to the WAL\|If no standby');
$target->safe_psql('postgres', q(SELECT pg_create_physical_replication_slot('idle', true)));
finds(check(), 'a replication slot that nobody uses', 'warning\|replication slot idle\|replication slot "idle" is not in use, and keeps the WAL of the load\|Drop the slot');
finds_no(check(), '... which a wal_level without standbys would not do for', 'info\|wal_level');
$target->safe_psql('postgres', q(SELECT pg_drop_replication_slot('idle')));
$target->append_conf('postgresql.conf', q(synchronous_standby_names = 'nobody'));
$target->reload;
$target->poll_query_until('postgres', q(SELECT current_setting('synchronous_standby_names') = 'nobody'));
finds(check(), 'a synchronous standby', 'info\|synchronous_standby_names\|the job waits for synchronous standbys');
$target->append_conf('postgresql.conf', q(synchronous_standby_names = ''));
$target->reload;
$target->poll_query_until('postgres', q(SELECT current_setting('synchronous_standby_names') = ''));
SKIP:
{
	skip 'this machine does not let us mount a file system', 2 unless FastcopyNamespace::possible();
	my ($large, $small) = map { PostgreSQL::Test::Utils::tempdir($_) } qw(large small);
	system_or_bail('mount', '-t', 'tmpfs', '-o', 'size=16m,mode=700', 'none', $small);
	$source->safe_psql('postgres', "CREATE TABLESPACE disk LOCATION '$large'");
	$target->safe_psql('postgres', "CREATE TABLESPACE disk LOCATION '$small'");
	$source->safe_psql($from, 'ALTER TABLE items SET TABLESPACE disk');
	my $room = 'tablespace disk\|the tables have \d+ MB on the source, and \d+ MB are free here\|Make room';
	finds(check(), 'too little disk space', "error\\|$room");
	finds(check(filters => q('{"items": "id < 10"}')), '... which may do with a filter', "warning\\|$room");
}

# Nothing is left behind, and the source is not kept waiting.
is($target->safe_psql('postgres', q(SELECT count(*) FROM fastcopy.status)), '0', 'there is no job');
my $locker = $source->background_psql($from);
$locker->query_safe('BEGIN; LOCK TABLE items');
my $session = $target->background_psql($to, on_error_stop => 0);
$session->query(q(SET statement_timeout = '1s'));
$session->query('DO $do$ BEGIN PERFORM FROM (' . check_sql() . q[) c; RAISE 'it was not canceled'; EXCEPTION WHEN query_canceled THEN CREATE TABLE caught (); END $do$]);
like($session->query(q(SELECT to_regclass('caught'))), qr/^caught\n?\z/, 'a check is canceled by a timeout, which its caller can catch');
ok($source->poll_query_until('postgres', q(SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'fastcopy check')), 'a check that is canceled closes its connection');
$locker->query_safe('COMMIT');
$_->quit for $locker, $session;
no_leftovers($source, $target, 'check', dbname => $to);
($from, $to) = ('source_1', 'target_1');
is(check(), '', 'after all that, nothing is found where all is well');
is($target->safe_psql($to, $everything), $before, '... and nothing was created');

$target->stop;
$source->stop;
done_testing;
