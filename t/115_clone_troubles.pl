# fastcopy.clone with definitions => 'create', where others are in its way: sessions that lock what definitions are made of,
# several servers behind one connection string; and definitions that are larger, or have more names, than usual.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FakeSource;
use FastcopyGate;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair(source_conf => "max_locks_per_transaction = 256\n", target_conf => "deadlock_timeout = '100ms'\nmax_locks_per_transaction = 256\n");
my $conninfo = conninfo($source);

sub make_database
{
	my ($name) = @_;
	$target->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE template0");
	$target->safe_psql($name, 'CREATE EXTENSION pg_fastcopy');
	return;
}

sub clone
{
	my (%arguments) = @_;
	my %all = (source => "'$conninfo'", workers => 2, %arguments);
	return 'fastcopy.clone(' . join(', ', map { "$_ => $all{$_}" } sort keys %all) . ')';
}

# Transient errors of definitions. An index calls a function for each row, which waits at two gates: its worker has the table
# locked then.
$source->safe_psql('postgres', q(
	CREATE FUNCTION gated(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
		'BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared(1), pg_catalog.pg_advisory_xact_lock_shared(2); RETURN $1; END';
	CREATE TABLE items (id int PRIMARY KEY, name text);
	CREATE TABLE others (id int PRIMARY KEY, name text);
	INSERT INTO items SELECT g, 'item ' || g FROM generate_series(1, 20000) g;
	INSERT INTO others SELECT g, 'other ' || g FROM generate_series(1, 30000) g;
	CREATE INDEX items_gated ON items (gated(id)) WHERE id = 1));

# Has a session of another user's and the worker that makes the index wait for each other. The session waits first, without
# a look at who waits for it; so it is the worker that finds the deadlock.
sub deadlock
{
	my ($dbname, $settings) = @_;
	my $gate    = $target->background_psql($dbname);
	my $session = $target->background_psql($dbname, on_error_stop => 0);
	$gate->query_safe('SELECT pg_advisory_lock(1)');
	$session->query_safe(q(SET deadlock_timeout = '1h'));
	$session->query_safe('BEGIN');
	$session->query_safe('SELECT pg_advisory_xact_lock(2)');
	my $job = $target->safe_psql($dbname, "$settings; SELECT " . clone());
	await_lock($target);
	$session->{stdin} .= "LOCK TABLE items IN ACCESS EXCLUSIVE MODE;\n";
	$session->{run}->pump_nb;
	await_lock($target, 'relation');
	$gate->query_safe('SELECT pg_advisory_unlock(1)');
	$gate->quit;
	return ($job, $session);
}
my $failure = qr/fastcopy job \d+ will retry definition \d+: deadlock detected/;
make_database('late');
my $before = -s $target->logfile;
my ($job, $session) = deadlock('late', q(SET fastcopy.retry_delay = '100ms'));
ok(seconds_until(sub { slurp_file($target->logfile, $before) =~ $failure }), 'a definition that is the victim of a deadlock is retried');
$session->query_safe('COMMIT');
$session->quit;
is($target->safe_psql('late', "SELECT fastcopy.wait($job)"), 'done', '... until it is made');
is($target->safe_psql('late', q(SELECT count(*) FROM pg_index WHERE indexrelid = 'items_gated'::regclass AND indisvalid)), '1', '... as it is on the source');
make_database('once');
($job, $session) = deadlock('once', 'SET fastcopy.retry_limit = 0');
fails_with($target, "SELECT fastcopy.wait($job)", '40P01', qr/^deadlock detected$/, 'fastcopy.retry_limit = 0: it is the job that fails',
	dbname => 'once', context => qr/INDEX public\.items_gated/);
$session->query_safe('COMMIT');
$session->quit;
is($target->safe_psql('once', "SELECT fastcopy.resume($job); SELECT fastcopy.wait($job)"), "$job\ndone", '... and is resumed');

# A lock timeout, which a job does not take over from anywhere: it is of the function that is called.
make_database('timeouts');
$source->safe_psql('postgres', q(ALTER FUNCTION gated SET lock_timeout = '100ms'));
my $gate = $target->background_psql('timeouts');
$gate->query_safe('SELECT pg_advisory_lock(1)');
$before = -s $target->logfile;
$job = $target->safe_psql('timeouts', q(SET fastcopy.retry_delay = '100ms'; SET fastcopy.retry_limit = 1000; SELECT ) . clone());
my $times = qr/fastcopy job $job will retry definition \d+: canceling statement due to lock timeout/;
if (ok(seconds_until(sub { slurp_file($target->logfile, $before) =~ /$times.*$times/s }), 'a lock that is not to be had in time is asked for again'))
{
	cmp_ok($target->safe_psql('timeouts', "SELECT coalesce(sum(retries), 0) FROM fastcopy.workers WHERE job = $job"), '>=', 2, '... which fastcopy.workers counts');
}
$gate->quit;
is($target->safe_psql('timeouts', "SELECT fastcopy.wait($job)"), 'done', '... until it is had');
no_leftovers($source, $target, 'transient errors');

# Several servers behind one connection string. To the job, the first is one that is starting up; to pg_dump, it is a server
# with another database.
my $other = FakeSource->new($target, who => qr/^(?!.* definitions$)/, startup => sub { $_[0]->send(error_response(C => '57P03', M => 'the database system is starting up')); $_[0]->hang_up });
make_database('several');
my $several = sprintf q('host=%s,%s port=%s,%s dbname=postgres'), $other->{host}, $source->host, $other->{port}, $source->port;
is($target->safe_psql('several', 'SELECT fastcopy.wait(' . clone(source => $several) . ')'), 'done', 'pg_dump reads from the server that the job has reached');
is(table_digest($target, 'items', 'several'), table_digest($source, 'items'), '... whose rows are copied');
$other->stop;

# The same with addresses: by its name, the source could not be found.
$source->append_conf('postgresql.conf', q(listen_addresses = '127.0.0.1'));
$source->restart;
make_database('addresses');
$several = sprintf q('host=no.such.host.invalid hostaddr=127.0.0.1 port=%s dbname=postgres user=postgres'), $source->port;
is($target->safe_psql('addresses', 'SELECT fastcopy.wait(' . clone(source => $several) . ')'), 'done', '... and at its address');
no_leftovers($source, $target, 'several servers');

# More than 1 GB of definitions.
SKIP:
{
	skip 'this takes GB of memory and of disk space, and no other code than less does', 3 if defined $ENV{FASTCOPY_TEST_UNDER};
	$source->safe_psql('postgres', 'CREATE DATABASE large TEMPLATE template0');
	$source->safe_psql('large', q(DO $$ BEGIN FOR i IN 1 .. 6 LOOP EXECUTE format('CREATE TABLE t%s (id int)', i);
		EXECUTE format('COMMENT ON TABLE t%s IS %L', i, repeat(i || E'\\n', 95 * 1024 * 1024)); END LOOP; END $$));
	make_database('large');
	my $large = q(') . conninfo($source, dbname => 'large') . q(');
	is($target->safe_psql('large', 'SELECT fastcopy.wait(' . clone(source => $large) . ')'), 'done', 'definitions of more than 1 GB');
	my $comments = q(SELECT string_agg(md5(description), ' ' ORDER BY objoid) FROM pg_description WHERE classoid = 'pg_class'::regclass AND objoid > 16384 AND objoid::regclass::text ~ '^t');
	is($target->safe_psql('large', $comments), $source->safe_psql('large', $comments), '... arrive as they are');
	$target->safe_psql('postgres', 'DROP DATABASE large');
	no_leftovers($source, $target, 'large definitions');
}

# More names of partitions than fit into the arguments of a program: a fourth of a process's stack, and 128 kB at least.
my $tables = q(SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace);
make_database('pattern');
fails_with($target, 'SELECT ' . clone(tables => q(ARRAY['item[' || repeat('s', 140000) || ']'])), '54000', qr/^could not run ".*pg_dump": Argument list too long$/,
	'a pattern that is too long', dbname => 'pattern', hint => qr/^Clone fewer tables at a time/);
is($target->safe_psql('pattern', $tables), '0', '... leaves nothing behind');
SKIP:
{
	skip 'processes that are watched need more of a stack than is left here', 3 if defined $ENV{FASTCOPY_TEST_UNDER};
	my $postmaster = (split /\n/, slurp_file($target->data_dir . '/postmaster.pid'))[0];
	skip 'this machine does not let us limit the stack', 3 if system("prlimit --pid $postmaster --stack=524288:8388608 >/dev/null 2>&1") != 0;
	$source->safe_psql('postgres', q(CREATE DATABASE parts TEMPLATE template0));
	$source->safe_psql('parts', q(CREATE TABLE parts (id int) PARTITION BY RANGE (id);
		DO $$ BEGIN FOR i IN 0 .. 29 LOOP
			EXECUTE format('CREATE TABLE %I PARTITION OF parts FOR VALUES FROM (%s) TO (%s) PARTITION BY RANGE (id)', 'parts_' || i, i * 50, i * 50 + 50);
			FOR j IN 0 .. 49 LOOP
				EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%s) TO (%s)', 'Part ' || (i * 50 + j) || repeat(' x', 26), 'parts_' || i, i * 50 + j, i * 50 + j + 1);
			END LOOP;
		END LOOP; END $$;
		DO $$ BEGIN EXECUTE format('CREATE TABLE %I PARTITION OF parts FOR VALUES FROM (5000) TO (5001)', E'odd "#.* \n name'); END $$;
		CREATE TABLE others (id int);
		INSERT INTO parts SELECT generate_series(0, 1499)));
	my %parts = (source => q(') . conninfo($source, dbname => 'parts') . q('), tables => q('{parts}'));
	if (major_version($target) >= 17)
	{
		is($target->safe_psql('pattern', 'SELECT fastcopy.wait(' . clone(%parts) . ')'), 'done', 'many partitions under a pattern');
		is($target->safe_psql('pattern', 'SELECT count(*) FROM parts; ' . $tables), "1500\n1532", '... are created, and nothing else');
	}
	else
	{
		fails_with($target, 'SELECT ' . clone(%parts), '54000', qr/^could not run ".*pg_dump": Argument list too long$/, 'too many partitions under a pattern',
			dbname => 'pattern', detail => qr/before version 17/);
		is($target->safe_psql('pattern', $tables), '0', '... leave nothing behind');
	}
	no_leftovers($source, $target, 'many partitions', dbname => 'pattern');
}

done_testing();
