# Targets on a third server: foreign tables of postgres_fdw, and foreign partitions. Their server commits
# independently. If its connection breaks during the commit, it is unknown whether the rows are stored. So unlike
# after a lost connection to the source, the chunk must not be retried: the job must fail, and no row may be stored
# twice.
#
# FakeSource is between the target and the third server: it forwards each message, or breaks the connection instead.
# The answer to COMMIT comes after the rows are committed; the answer to INSERT comes before.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FakeSource;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair(target_conf => "fastcopy.retry_delay = '10ms'\n");
my ($status, undef, $no_fdw) = run_verbose($target, 'CREATE EXTENSION postgres_fdw');
plan skip_all => "postgres_fdw is not there: $no_fdw" if $status != 0;
my $third = PostgreSQL::Test::Cluster->new('third');
$third->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$third->append_conf('postgresql.conf', "autovacuum = off\n");
$third->start;

my $rows = 400;
$source->safe_psql('postgres', qq(
CREATE TABLE public.items (id bigint, name text);
INSERT INTO public.items SELECT g, 'name ' || g FROM generate_series(1, $rows) g));
$third->safe_psql('postgres', 'CREATE TABLE public.items (id bigint, name text); CREATE TABLE public.odd (id bigint, name text)');
my $user = $third->safe_psql('postgres', 'SELECT current_user');

my %targets = (
	'a foreign table' => 'CREATE FOREIGN TABLE public.items (id bigint, name text) SERVER third',
	'a foreign partition' => q(CREATE TABLE public.items (id bigint, name text) PARTITION BY LIST ((id % 2));
		CREATE TABLE public.even PARTITION OF public.items FOR VALUES IN (0);
		CREATE FOREIGN TABLE public.odd PARTITION OF public.items FOR VALUES IN (1) SERVER third));

# The foreign server is reached through it.
sub make_target
{
	my ($kind, $host, $port) = @_;
	$third->safe_psql('postgres', 'TRUNCATE public.items, public.odd');
	$target->safe_psql('postgres', qq(
		SET client_min_messages = 'warning';
		DROP SERVER IF EXISTS third CASCADE;
		DROP TABLE IF EXISTS public.items;
		CREATE SERVER third FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres');
		CREATE USER MAPPING FOR CURRENT_USER SERVER third OPTIONS (user '$user');
		$targets{$kind}));
	return;
}

# The number of rows and of different rows, as the third server has them.
sub counts
{
	return $third->safe_psql('postgres',
		'SELECT count(*), count(DISTINCT id) FROM (TABLE public.items UNION ALL TABLE public.odd) i');
}

# The connection breaks, once, instead of the answer to a statement.
sub broken_at
{
	my ($statement) = @_;
	my $flag = PostgreSQL::Test::Utils::tempdir_short() . '/broken';
	return FakeSource->new($third,
		on     => $statement,
		change => sub {
			my ($c) = @_;
			return if -e $flag;
			append_to_file($flag, 'yes');
			$c->hang_up;
		});
}

sub start
{
	return $target->safe_psql('postgres', "SET fastcopy.chunk_size = '8kB'; SELECT " . call_sql('start', $source, workers => 1));
}

sub was_retried
{
	my ($job) = @_;
	return slurp_file($target->logfile) =~ /fastcopy job $job will retry/;
}

for my $kind (sort keys %targets)
{
	make_target($kind, $third->host, $third->port);
	my $remote_rows = $kind eq 'a foreign table' ? $rows : $rows / 2;
	my $job = start();
	is(wait_state($target, $job, 'done|failed'), 'done', "$kind: the job is done when nothing breaks");
	is(table_digest($target, 'public.items'), table_digest($source, 'public.items'), "$kind: each row is there once");
	is(counts(), "$remote_rows|$remote_rows", "$kind: on the third server");

	for my $moment ([ 'COMMIT', qr/^COMMIT/ ], [ 'INSERT', qr/^INSERT/ ])
	{
		my ($when, $statement) = @$moment;
		my $name  = "$kind, broken at $when";
		my $third_by = broken_at($statement);
		make_target($kind, $third_by->{host}, $third_by->{port});
		$job = start();
		my $state = wait_state($target, $job, 'done|failed|interrupted');
		is(($third_by->counts)[1], 1, "$name: it breaks once");
		is($state, 'failed', "$name: the job fails");
		my ($count, $different) = split /\|/, counts();
		is($count, $different, "$name: no row is there twice");
		is($target->safe_psql('postgres', "SELECT sqlstate FROM fastcopy.status WHERE job = $job"),
			$when eq 'COMMIT' ? '08007' : '08006',
			"$name: the error says what is known of the third server");
		ok(!was_retried($job), "$name: nothing is tried again");
		no_leftovers($source, $target, $name);
		$third_by->stop;
	}
}

# A worker is terminated while the third server commits: however the job ends, it reports what is unknown, and a
# resume does not copy the chunk again unless told to.
for my $end (
	[ 'cancel()', 'SELECT fastcopy.cancel(JOB)', 'failed|08007', qr/has failed/ ],
	[ 'a coordinator that is terminated', q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'fastcopy coordinator'),
		'interrupted|', qr/was interrupted/ ])
{
	my ($what, $sql, $expected, $detail) = @$end;
	my $name = "$what during COMMIT";
	my $third_by = FakeSource->new($third, on => qr/^COMMIT/, change => sub { $_[0]->stall });
	make_target('a foreign table', $third_by->{host}, $third_by->{port});
	my $job = start();
	ok(defined seconds_until(sub { ($third_by->counts)[1] == 1 }), "$name: it waits for the third server");
	$target->safe_psql('postgres', $sql =~ s/JOB/$job/r);
	wait_state($target, $job, 'failed|cancelled|interrupted|done');
	is($target->safe_psql('postgres', "SELECT state, sqlstate FROM fastcopy.status WHERE job = $job"), $expected, "$name: the job says so");
	fails_with($target, "SELECT fastcopy.resume($job)", '55000', qr/may hold rows of a chunk that is not done$/,
		"$name: it is not resumed unasked", detail => $detail);
	no_leftovers($source, $target, $name);
	$third_by->stop;
}

# A trigger may raise the same error for a connection of its own.
$target->safe_psql('postgres', q(
SET client_min_messages = 'warning';
DROP SERVER third CASCADE;
DROP TABLE IF EXISTS public.items;
CREATE TABLE public.items (id bigint, name text);
CREATE FUNCTION public.lose() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN
	RAISE EXCEPTION ''could not connect to the server'' USING ERRCODE = ''08001'';
END';
CREATE TRIGGER lose BEFORE INSERT ON public.items FOR EACH ROW WHEN (NEW.id = 50) EXECUTE FUNCTION public.lose()));
{
	my $name = 'a trigger with a connection of its own';
	my $job = start();
	is(wait_state($target, $job, 'done|failed'), 'failed', "$name: the job fails");
	is($target->safe_psql('postgres', "SELECT sqlstate, error FROM fastcopy.status WHERE job = $job"),
		'08001|could not connect to the server', "$name: by its error");
	ok(!was_retried($job), "$name: nothing is tried again");
}

no_leftovers($source, $target, 'at the end');
done_testing();
