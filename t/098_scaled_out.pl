# A target whose partitions are on other servers: foreign tables of postgres_fdw receive rows in batches, by the same
# call as any other table. The loss of such a server is in 052_foreign_targets.pl.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair();
my ($status, undef, $no_fdw) = run_verbose($target, 'CREATE EXTENSION postgres_fdw');
plan skip_all => "postgres_fdw is not there: $no_fdw" if $status != 0;
my @shards = map { PostgreSQL::Test::Cluster->new("shard_$_") } 0, 1;
my $user   = $target->safe_psql('postgres', 'SELECT current_user');
for my $i (0, 1)
{
	$shards[$i]->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
	$shards[$i]->append_conf('postgresql.conf', "autovacuum = off\nmax_prepared_transactions = 10\nlog_statement = all\n");
	$shards[$i]->start;
	my ($host, $port) = ($shards[$i]->host, $shards[$i]->port);
	$target->safe_psql('postgres', qq(
		CREATE SERVER shard_$i FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres', batch_size '500');
		CREATE USER MAPPING FOR CURRENT_USER SERVER shard_$i OPTIONS (user '$user')));
}

# Four partitions on two servers, and a fifth here.
my $columns = 'id bigint NOT NULL, customer text, amount numeric(12,2), at timestamptz, doc jsonb';
my $rows    = 20000;
$source->safe_psql('postgres', "CREATE TABLE orders ($columns); INSERT INTO orders SELECT g, 'customer ' || g % 700, g / 7.0,
	timestamptz '2024-01-01 UTC' + g * interval '1 minute', jsonb_build_object('n', g) FROM generate_series(1, $rows) g;
	ALTER TABLE orders ADD PRIMARY KEY (id)");
$target->safe_psql('postgres', "CREATE TABLE orders ($columns) PARTITION BY HASH (id);
	CREATE TABLE orders_4 PARTITION OF orders FOR VALUES WITH (MODULUS 5, REMAINDER 4)");
for my $part (0 .. 3)
{
	my $shard = $part % 2;
	$shards[$shard]->safe_psql('postgres', "CREATE TABLE orders_$part ($columns, PRIMARY KEY (id))");
	$target->safe_psql('postgres', "CREATE FOREIGN TABLE orders_$part PARTITION OF orders FOR VALUES WITH (MODULUS 5, REMAINDER $part) SERVER shard_$shard");
}

sub inserts_on
{
	return () = slurp_file($_[0]->logfile) =~ /execute \w+: INSERT INTO public\.orders_\d/g;
}

sub all_there
{
	my ($name) = @_;
	is(table_digest($target, 'orders'), table_digest($source, 'orders'), "$name: each row is there once");
	is($target->safe_psql('postgres', "SELECT DISTINCT differs FROM fastcopy.compare('" . conninfo($source) . "', 'orders', 'orders')"), 'f', "$name: compare agrees");
	my @of = map { $shards[ $_ % 2 ]->safe_psql('postgres', "SELECT count(*) FROM ONLY orders_$_") } 0 .. 3;
	my $here = $target->safe_psql('postgres', 'SELECT count(*) FROM ONLY orders_4');
	my $sum  = $here;
	$sum += $_ for @of;
	is($sum, $rows, "$name: spread over all (" . join(', ', @of, $here) . ')');
	is((grep { $_ > $rows / 10 } @of, $here) + 0, 5, "$name: in like parts");
	return;
}

for my $workers (1, 4)
{
	my $before = inserts_on($shards[0]) + inserts_on($shards[1]);
	is($target->safe_psql('postgres', 'SET fastcopy.chunk_size = 256; SELECT ' . call_sql('copy', $source, source_table => 'orders', target_table => 'orders',
				workers => $workers, truncate => \'true')),
		$rows, "$workers workers: copied");
	all_there("$workers workers");
	my $inserts = inserts_on($shards[0]) + inserts_on($shards[1]) - $before;
	cmp_ok($inserts, '<', $rows / 20, "$workers workers: in batches ($inserts statements)");
}

# A row that a shard rejects fails the job, which is resumed. It has one worker: another might be terminated while it commits, and
# then that is the job's error.
$shards[1]->safe_psql('postgres', 'ALTER TABLE orders_1 ADD CONSTRAINT early CHECK (id < 15000) NOT VALID');
fails_with($target, 'SET fastcopy.chunk_size = 256; SELECT ' . call_sql('copy', $source, source_table => 'orders', target_table => 'orders',
		workers => 1, truncate => \'true'), '23514', qr/violates check constraint "early"/, 'a row that a shard refuses');
$shards[1]->safe_psql('postgres', 'ALTER TABLE orders_1 DROP CONSTRAINT early');
my $job = $target->safe_psql('postgres', 'SELECT max(job) FROM fastcopy.status');
is($target->safe_psql('postgres', "SELECT fastcopy.resume($job) = $job; SELECT fastcopy.wait($job)"), "t\ndone", 'the job is resumed');
all_there('resumed');
no_leftovers($source, $target, 'at the end');
done_testing();
