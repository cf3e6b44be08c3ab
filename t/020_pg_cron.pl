# The nightly pull: fastcopy.copy scheduled with the real pg_cron, in both of its ways to run a job, by
# libpq connections and by background workers of its own. What succeeds says so in cron.job_run_details,
# and what fails says there why, with the job's own error.
#
# pg_cron starts jobs at full minutes, so this file takes about one; both servers wait for the same one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $pkglibdir = `pg_config --pkglibdir`;
chomp $pkglibdir;
plan skip_all => 'pg_cron is not installed' unless -e "$pkglibdir/pg_cron.so";

# A source named by a service, as in a crontab that should not hold a connection string.
my $service_file = PostgreSQL::Test::Utils::tempdir_short() . '/pg_service.conf';
$ENV{PGSERVICEFILE} = $service_file;

my $source = PostgreSQL::Test::Cluster->new('source');
$source->init;
$source->append_conf('postgresql.conf', 'max_connections = 60');
$source->start;
$source->safe_psql('postgres',
	'CREATE TABLE orders AS SELECT i AS id, i % 7 AS customer FROM generate_series(1, 20000) i');

append_to_file($service_file,
	"[old]\nhost=" . $source->host . "\nport=" . $source->port . "\ndbname=postgres\n");

my %targets;
for my $mode ('libpq', 'workers')
{
	my $target = PostgreSQL::Test::Cluster->new("target_$mode");
	$target->init;
	$target->append_conf('postgresql.conf', join("\n",
		"shared_preload_libraries = 'pg_cron'",
		"cron.database_name = 'postgres'",
		"cron.host = '" . $target->host . "'",
		'cron.use_background_workers = ' . ($mode eq 'workers' ? 'on' : 'off'),
		'max_worker_processes = 24',
		"timezone = 'UTC'", ''));
	$target->start;
	$target->safe_psql('postgres', q(
		CREATE EXTENSION pg_cron;
		CREATE EXTENSION pg_fastcopy;
		CREATE TABLE orders (id integer, customer integer);
		INSERT INTO orders VALUES (0, 0);
		CREATE TABLE missing (id integer, customer integer);
		CREATE TABLE strict (id integer PRIMARY KEY, customer integer CHECK (customer < 6));
		SELECT cron.schedule('orders', '* * * * *',
			$$SELECT fastcopy.copy('service=old', 'public.orders', 'public.orders', 2, truncate => true)$$);
		SELECT cron.schedule('strict', '* * * * *',
			$$SELECT fastcopy.copy('service=old', 'public.orders', 'public.strict', 2)$$);
		SELECT cron.schedule('missing', '* * * * *',
			$$SELECT fastcopy.copy('service=old', 'public.missing', 'public.missing', 2)$$);));
	$targets{$mode} = $target;
}

for my $mode (sort keys %targets)
{
	my $target = $targets{$mode};
	my $run = sub {
		my ($name, $columns) = @_;
		return $target->safe_psql('postgres',
			"SELECT $columns FROM cron.job_run_details d JOIN cron.job j USING (jobid)"
			  . " WHERE j.jobname = '$name' ORDER BY runid LIMIT 1");
	};
	for my $name ('orders', 'strict', 'missing')
	{
		$target->poll_query_until('postgres',
			"SELECT count(*) > 0 FROM cron.job_run_details d JOIN cron.job j USING (jobid)"
			  . " WHERE j.jobname = '$name' AND d.status IN ('succeeded', 'failed')")
		  or die "pg_cron did not run job $name";
	}
	# Nothing more at the next full minute, while the tables are compared.
	$target->safe_psql('postgres', 'SELECT cron.alter_job(jobid, active := false) FROM cron.job');

	is($run->('orders', 'status'), 'succeeded', "$mode: the nightly pull succeeds");
	is(table_digest($target, 'orders'), table_digest($source, 'orders'), "$mode: and its rows are there");
	is($run->('strict', 'status'), 'failed', "$mode: a copy that fails is a failed run");
	like($run->('strict', 'return_message'),
		qr/violates check constraint "strict_customer_check"/, "$mode: with the job's own error");
	is($run->('missing', 'status'), 'failed', "$mode: a copy that cannot start is a failed run");
	like($run->('missing', 'return_message'),
		qr/relation "public.missing" does not exist/, "$mode: with the source's own error");
	is($target->safe_psql('postgres',
			q(SELECT string_agg(DISTINCT state, ',' ORDER BY state) FROM fastcopy.status WHERE state <> 'copying')),
		'done,failed', "$mode: the jobs are in fastcopy.status");
	$target->stop('fast');
}

done_testing();
