# The nightly pull: fastcopy.copy is scheduled with the real pg_cron, in both of its modes, libpq connections and
# background workers; and fastcopy.sync by a role that is not a superuser, also while a run outlives the interval.
# cron.job_run_details shows success, or the failed job's own error.
#
# pg_cron starts jobs at full minutes, so this file takes about one minute; both servers wait for the same one.

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

add_scram_role($source, 'reader');
$source->safe_psql('postgres', q(CREATE TABLE events (id bigint PRIMARY KEY, v text); INSERT INTO events SELECT g, g::text FROM generate_series(1, 2000) g;
	CREATE TABLE slow (LIKE events INCLUDING ALL); INSERT INTO slow VALUES (1, 'slow'); GRANT SELECT ON events, slow TO reader));

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
		CREATE ROLE clerk LOGIN;
		GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO clerk;
		GRANT USAGE ON SCHEMA cron TO clerk;
		CREATE TABLE events (id bigint PRIMARY KEY, v text);
		CREATE TABLE slow (LIKE events INCLUDING ALL);
		GRANT SELECT, INSERT ON events, slow TO clerk;
		CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END$$;
		CREATE TRIGGER hold BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION hold();
		CREATE TABLE strict (id integer PRIMARY KEY, customer integer CHECK (customer < 6));
		SELECT cron.schedule('orders', '* * * * *',
			$$SELECT fastcopy.copy('service=old', 'public.orders', 'public.orders', 2, truncate => true)$$);
		SELECT cron.schedule('strict', '* * * * *',
			$$SELECT fastcopy.copy('service=old', 'public.orders', 'public.strict', 2)$$);
		SELECT cron.schedule('missing', '* * * * *',
			$$SELECT fastcopy.copy('service=old', 'public.missing', 'public.missing', 2)$$);));
	# The foreign server has the password, so the schedule does not need it.
	$target->safe_psql('postgres', sprintf(q(
		CREATE SERVER events_source FOREIGN DATA WRAPPER pg_fastcopy OPTIONS (host '%s', port '%s', dbname 'postgres');
		GRANT USAGE ON FOREIGN SERVER events_source TO clerk;
		CREATE USER MAPPING FOR clerk SERVER events_source OPTIONS (user 'reader', password 'sesame');
		SET SESSION AUTHORIZATION clerk;
		SELECT cron.schedule('events', '* * * * *', $$SELECT fastcopy.sync('events_source', 'public.events', 'public.events', 'id')$$);
		SELECT cron.schedule('slow', '* * * * *', $$SELECT fastcopy.sync('events_source', 'public.slow', 'public.slow', 'id')$$);),
		$source->host, $source->port));
	$targets{$mode} = $target;
}

my %gates;
for my $mode (sort keys %targets)
{
	# The run of "slow" does not end before this lock is released.
	$gates{$mode} = $targets{$mode}->background_psql('postgres');
	$gates{$mode}->query_safe('SELECT pg_advisory_lock(7)');
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
	for my $name ('orders', 'strict', 'missing', 'events', 'slow')
	{
		$target->poll_query_until('postgres',
			"SELECT count(*) > 0 FROM cron.job_run_details d JOIN cron.job j USING (jobid)"
			  . " WHERE j.jobname = '$name' AND d.status IN ('succeeded', 'failed')")
		  or die "pg_cron did not run job $name";
	}
	# Nothing runs at the next full minute, while the tables are compared.
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

	is($run->('events', 'status'), 'succeeded', "$mode: a run of fastcopy.sync by a role that is no superuser succeeds")
	  or diag $run->('events', 'return_message');
	$target->poll_query_until('postgres', "SELECT count(*) = 1 FROM fastcopy.lag WHERE target_table = 'public.events'") or die 'no watermark';
	is(table_digest($target, 'events'), table_digest($source, 'events'), "$mode: and its rows are there");
	is($run->('slow', 'status'), 'succeeded', "$mode: a run that takes long is started");
	# What pg_cron would call in the next minute.
	my ($code, $out, $error) = $target->psql('postgres',
		"SET SESSION AUTHORIZATION clerk; SELECT fastcopy.sync('events_source', 'public.slow', 'public.slow', 'id')");
	like($error, qr/is running/, "$mode: the call of the next interval says that it still runs");
	$gates{$mode}->query_safe('SELECT pg_advisory_unlock(7)');
	$target->poll_query_until('postgres', "SELECT count(*) = 1 FROM fastcopy.lag WHERE target_table = 'public.slow'") or die 'no watermark';
	is(table_digest($target, 'slow'), table_digest($source, 'slow'), "$mode: and it ends with each row once");
	$gates{$mode}->quit;
	$target->stop('fast');
}

done_testing();
