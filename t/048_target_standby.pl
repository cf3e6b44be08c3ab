# A standby of the target as the source: it replays what a job does to the target. A TRUNCATE would remove the rows
# that are to be read, so truncate => true is rejected, however the source reaches the table, and all servers keep
# their rows.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $conf = "wal_level = replica\nmax_wal_senders = 6\n";
my ($other, $target) = start_pair(source_conf => $conf, target_conf => $conf);

# Makes a standby of a node, and starts it.
sub make_standby
{
	my ($of, $name) = @_;
	$of->backup("for_$name");
	my $standby = PostgreSQL::Test::Cluster->new($name);
	$standby->init_from_backup($of, "for_$name", has_streaming => 1);
	$standby->append_conf('postgresql.conf', "wal_receiver_status_interval = 1\n");
	$standby->start;
	return $standby;
}

$target->safe_psql('postgres', q(
CREATE TABLE public.items (id bigint PRIMARY KEY, name text);
INSERT INTO public.items SELECT g, 'name ' || g FROM generate_series(1, 5000) g;
CREATE TABLE public.elsewhere (LIKE public.items);
INSERT INTO public.elsewhere VALUES (-1, 'old');
CREATE VIEW public.seen AS SELECT id, name FROM public.items WHERE id > 0;
CREATE TABLE public.parts (id bigint, name text) PARTITION BY LIST ((id % 2));
CREATE TABLE public.even PARTITION OF public.parts FOR VALUES IN (0);
CREATE TABLE public.odd PARTITION OF public.parts FOR VALUES IN (1);
INSERT INTO public.parts TABLE public.items));
my $standby   = make_standby($target, 'standby');
my $cascading = make_standby($standby, 'cascading');

sub catch_up
{
	$target->wait_for_catchup($standby, 'replay', $target->lsn('insert'));
	$standby->wait_for_catchup($cascading, 'replay', $standby->lsn('replay'));
	return;
}

catch_up();
my %expected = map { $_ => table_digest($target, "public.$_") } qw(items parts elsewhere);

for my $case (
	[ 'a table into itself', $standby, 'public.items', 'public.items' ],
	[ 'a table into itself, by a standby of the standby', $cascading, 'public.items', 'public.items' ],
	[ 'a table into itself, by a view',            $standby, 'public.seen',  'public.items' ],
	[ 'a partitioned table into itself',           $standby, 'public.parts', 'public.parts' ],
	[ 'a partition into its own table',            $standby, 'public.odd',   'public.parts' ],
	[ 'a partitioned table into one of its parts', $standby, 'public.parts', 'public.odd' ])
{
	my ($name, $source, $from, $to) = @$case;
	for my $indexes ('keep', 'rebuild')
	{
		fails_with($target,
			'SELECT ' . call_sql('copy', $source, source_table => $from, target_table => $to, truncate => 'true', indexes => $indexes),
			'55006', qr/^cannot truncate /, "$name, indexes => $indexes: truncate is refused");
	}
	catch_up();
	for my $table (sort keys %expected)
	{
		is(join(', ', map { table_digest($_, "public.$table") } $target, $standby, $cascading),
			join(', ', ($expected{$table}) x 3), "$name: all rows of $table are on all servers");
	}
}
is($target->safe_psql('postgres', 'SELECT count(*) FROM fastcopy.job'), '0', 'what was refused has left no job');
no_leftovers($standby, $target, 'after refusals');

# A job that does not truncate is allowed: it copies the standby's rows once more.
$target->safe_psql('postgres', 'CREATE TABLE public.copied (LIKE public.items); CREATE TABLE public.rebuilt (LIKE public.items INCLUDING INDEXES)');
catch_up();
for my $case ([ 'copied', 'keep' ], [ 'rebuilt', 'rebuild' ])
{
	my ($to, $indexes) = @$case;
	is($target->safe_psql('postgres', 'SELECT '
			. call_sql('copy', $standby, target_table => "public.$to", indexes => $indexes)), '5000',
		"without truncate into another table, indexes => $indexes");
	is(table_digest($target, "public.$to"), $expected{items}, "$to has the rows");
}
no_leftovers($standby, $target, 'after copies from the standby');

# A standby of another server has none of our tables.
$other->safe_psql('postgres', q(
CREATE TABLE public.items (id bigint PRIMARY KEY, name text);
INSERT INTO public.items SELECT g, 'new ' || g FROM generate_series(1, 1000) g));
my $foreign = make_standby($other, 'foreign');
$other->wait_for_catchup($foreign, 'replay', $other->lsn('insert'));
is($target->safe_psql('postgres', 'SELECT ' . call_sql('copy', $foreign, truncate => 'true')), '1000',
	'with truncate from the standby of another server');
is(table_digest($target, 'public.items'), table_digest($foreign, 'public.items'), 'its rows are copied');

# A promoted standby no longer replays anything.
$target->safe_psql('postgres', 'TRUNCATE public.items; INSERT INTO public.items VALUES (1, $$kept$$)');
catch_up();
$standby->promote;
$target->safe_psql('postgres', 'INSERT INTO public.items VALUES (2, $$gone$$)');
is($target->safe_psql('postgres', 'SELECT ' . call_sql('copy', $standby, truncate => 'true')), '1',
	'with truncate from a standby that was promoted');
is($target->safe_psql('postgres', 'SELECT name FROM public.items'), 'kept', 'its row is kept');

no_leftovers($standby, $target, 'at the end');
done_testing();
