# A job runs as the calling role: with its privileges, its row security, and its name in defaults and triggers. No
# trigger can leave that role. The role is not a superuser, so it gives a password.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyGate;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The log has everything but the sessions' statements, in which the callers wrote the password.
my ($source, $target) = start_pair(
	target_conf => "log_statement = none\nlog_min_error_statement = panic\nlog_min_messages = debug5\n");

add_scram_role($source, 'reader');
$source->safe_psql('postgres', q(
	CREATE TABLE numbers AS SELECT i FROM generate_series(1, 100) i;
	GRANT SELECT ON numbers TO reader));
my $conninfo = conninfo($source, user => 'reader', password => 'sesame');

# group_role cannot log in; member can SET ROLE to it.
$target->safe_psql('postgres', q(
	CREATE ROLE group_role;
	CREATE ROLE member LOGIN IN ROLE group_role;
	CREATE TABLE numbers (i integer, who text DEFAULT current_user, session text DEFAULT session_user);
	GRANT INSERT ON numbers TO group_role;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO group_role;
	CREATE FUNCTION pull() RETURNS bigint LANGUAGE sql SECURITY DEFINER
		AS $$SELECT fastcopy.copy('CONNINFO', 'numbers', 'numbers', statistics => false)$$;
	ALTER FUNCTION pull() OWNER TO group_role;
	CREATE TABLE sly (i integer);
	GRANT INSERT ON sly TO group_role;
	CREATE FUNCTION step_out() RETURNS trigger LANGUAGE plpgsql
		AS $$BEGIN RESET ROLE; RETURN NEW; END$$;
	CREATE TRIGGER step_out BEFORE INSERT ON sly FOR EACH ROW EXECUTE FUNCTION step_out()) =~ s/CONNINFO/$conninfo/r);

my $copy = "SELECT fastcopy.copy('$conninfo', 'numbers', 'numbers', statistics => false)";
my $as = sub {
	my ($user, $sql) = @_;
	return $target->safe_psql('postgres', $sql, extra_params => [ '-U', $user ]);
};

is($as->('member', $copy), '100', 'as a member of a role with the privileges');
is($target->safe_psql('postgres', 'SELECT DISTINCT who FROM numbers'), 'member', '... rows have the role that inserted them');
$target->safe_psql('postgres', 'TRUNCATE numbers');

is($as->('member', "SET ROLE group_role; $copy"), '100', 'as a role that may not log in');
is($target->safe_psql('postgres', 'SELECT DISTINCT who FROM numbers'), 'group_role', '... rows have that role');
is($target->safe_psql('postgres', 'SELECT DISTINCT owner FROM fastcopy.status'), "group_role\nmember",
	'... and the jobs have owners');
is($as->('member', "SELECT count(*) FROM fastcopy.status WHERE owner = 'group_role'"), '1',
	'a member of the owner sees the job');
$target->safe_psql('postgres', 'TRUNCATE numbers');

is($target->safe_psql('postgres', 'SELECT pull()'), '100', 'in a SECURITY DEFINER function');
is($target->safe_psql('postgres', 'SELECT DISTINCT who FROM numbers'), 'group_role', '... as its owner');

fails_with($target,
	"SET ROLE group_role; SELECT fastcopy.copy('$conninfo', 'numbers', 'sly', statistics => false)",
	'42501', qr/cannot set parameter "role"/, 'a trigger cannot leave the role', user => 'postgres');
$target->safe_psql('postgres', q(
	CREATE OR REPLACE FUNCTION step_out() RETURNS trigger LANGUAGE plpgsql
		AS $$BEGIN SET SESSION AUTHORIZATION postgres; RETURN NEW; END$$));
fails_with($target,
	"SET ROLE group_role; SELECT fastcopy.copy('$conninfo', 'numbers', 'sly', statistics => false)",
	'42501', qr/cannot set parameter "session_authorization"/, '... nor set another', user => 'postgres');
fails_with($target,
	"SELECT fastcopy.start('$conninfo', 'numbers', 'sly', triggers => false)",
	'42501', qr/permission denied to set parameter "session_replication_role"/,
	'only superusers may disable triggers', user => 'member');
# Schemas that a role puts before pg_catalog in its search_path do not affect the statements on the ledger, which run
# as the extension's owner. One operator would be enough.
$target->safe_psql('postgres', q(
	CREATE SCHEMA trap AUTHORIZATION member;
	CREATE TABLE trap.caught (who text);
	GRANT ALL ON trap.caught TO PUBLIC;
	TRUNCATE numbers));
$as->('member', q(
	CREATE FUNCTION trap.eq(bigint, bigint) RETURNS boolean LANGUAGE sql
		AS $$INSERT INTO trap.caught VALUES (current_user); SELECT pg_catalog.int8eq($1, $2)$$;
	CREATE OPERATOR trap.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = trap.eq);
	CREATE FUNCTION trap.eq4(integer, integer) RETURNS boolean LANGUAGE sql
		AS $$INSERT INTO trap.caught VALUES (current_user); SELECT pg_catalog.int4eq($1, $2)$$;
	CREATE OPERATOR trap.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = trap.eq4);
	CREATE FUNCTION trap.nextval(regclass) RETURNS bigint LANGUAGE sql
		AS $$INSERT INTO trap.caught VALUES (current_user); SELECT 1::bigint$$;
	ALTER ROLE member SET search_path = trap, public, pg_catalog));
is($as->('member', "SELECT 1 = 1; SELECT count(*) > 0 FROM trap.caught"), "t\nt", 'the trap works');
$target->safe_psql('postgres', 'TRUNCATE trap.caught');
is($as->('member', "$copy; SELECT count(*) FROM trap.caught WHERE who <> 'member'"), "100\n0",
	'statements on the ledger are not affected');
is($as->('member', "SELECT count(*) > 0 FROM fastcopy.status; SELECT count(*) > 0 FROM fastcopy.chunks;"
		. " SELECT count(*) FROM trap.caught WHERE who <> 'member'"), "t\nt\n0", 'nor are the views');
$target->safe_psql('postgres', 'ALTER ROLE member RESET search_path; TRUNCATE numbers');

# The role that owns the database has created operators that match better than PostgreSQL's own, before the extension
# was created. In a view they would run as the user of the view.
$target->safe_psql('postgres', 'CREATE DATABASE trapped OWNER member');
$target->safe_psql('trapped', q(
	SET ROLE member;
	CREATE SCHEMA trap;
	DO $$
	DECLARE
		types regtype[] := '{int2,int4,int8,oid,numeric,float8,text,name,bool,interval,timestamptz}';
		left_type regtype;
		right_type regtype;
		operator text;
	BEGIN
		FOREACH left_type IN ARRAY types LOOP
			FOREACH right_type IN ARRAY types LOOP
				EXECUTE format('CREATE FUNCTION trap.condition(%1$s, %2$s) RETURNS boolean LANGUAGE sql AS $f$SELECT true$f$;
					CREATE FUNCTION trap.number(%1$s, %2$s) RETURNS double precision LANGUAGE sql AS $f$SELECT 1.0::float8$f$',
					left_type, right_type);
				FOREACH operator IN ARRAY '{+,-,*,/,<,>,=,<>,<=,>=}'::text[] LOOP
					EXECUTE format('CREATE OPERATOR trap.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = trap.%s)', operator,
						left_type, right_type, CASE WHEN operator ~ '[<>=]' THEN 'condition' ELSE 'number' END);
				END LOOP;
			END LOOP;
		END LOOP;
	END $$;
	RESET ROLE;
	SET search_path = trap;
	CREATE EXTENSION pg_fastcopy));
is( $target->safe_psql('trapped', q(
		SELECT refobjid::regoperator FROM pg_depend
		WHERE refclassid = 'pg_operator'::regclass AND classid = 'pg_rewrite'::regclass)),
	'', 'no view uses an operator of the search_path');
$target->safe_psql('postgres', 'DROP DATABASE trapped');

# A role that changes to another at log-in is still the calling role.
$target->safe_psql('postgres', 'CREATE ROLE low; ALTER ROLE member SET role = low; GRANT low TO member');
is($as->('member', "SET ROLE NONE; $copy"), '100', 'ALTER ROLE ... SET role does not change the owner of the job');
is($target->safe_psql('postgres', 'SELECT DISTINCT who FROM numbers'), 'member', '... nor the role that inserts');
$target->safe_psql('postgres', 'ALTER ROLE member RESET role; TRUNCATE numbers');

# Tables that may be read through a parent only are read through the parent: partitions in a schema without USAGE, or
# with row security of their own.
$source->safe_psql('postgres', q(
	CREATE SCHEMA closed;
	CREATE TABLE family (i integer) PARTITION BY RANGE (i);
	CREATE TABLE closed.low PARTITION OF family FOR VALUES FROM (0) TO (50);
	CREATE TABLE guarded PARTITION OF family FOR VALUES FROM (50) TO (101);
	INSERT INTO family SELECT i FROM generate_series(1, 100) i;
	GRANT SELECT ON family, closed.low, guarded TO reader;
	CREATE TABLE wide (id integer PRIMARY KEY, i integer);
	INSERT INTO wide SELECT i, i FROM generate_series(1, 5000) i;
	GRANT SELECT (i) ON wide TO reader));
my $pull = sub {
	my ($table) = @_;
	return $as->('member',
		"SET fastcopy.chunk_size = '8kB'; SELECT fastcopy.copy('$conninfo', '$table', 'numbers', columns => '{i}', statistics => false)");
};
is($pull->('family'), '100', 'a partition in a schema that the role may not use');
$source->safe_psql('postgres', 'GRANT USAGE ON SCHEMA closed TO reader; ALTER TABLE guarded ENABLE ROW LEVEL SECURITY');
is($pull->('family'), '100', 'a partition with row security of its own');
is($pull->('wide'), '5000', 'a column, and not that of the primary key');
$target->safe_psql('postgres', 'TRUNCATE numbers');

# Roles are renamed and dropped while a job runs. It waits for a lock on the source, in the middle of its rows.
my $hold = sub {
	my ($change) = @_;
	$target->safe_psql('postgres', q(
		CREATE ROLE passing LOGIN;
		GRANT INSERT ON numbers TO passing;
		GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO passing));
	my $gate = $source->background_psql('postgres');
	$gate->query_safe('SELECT pg_advisory_lock(7)');
	my $job = $as->('passing', "SELECT fastcopy.start('$conninfo', 'numbers', 'numbers', 1,"
		. " filter => 'pg_try_advisory_lock_shared(7) OR pg_advisory_lock_shared(7) IS NOT NULL', statistics => false)");
	await_lock($source);
	$target->safe_psql('postgres', $change);
	$gate->quit;
	return $job;
};
my $job = $hold->('ALTER ROLE passing RENAME TO passed');
is(wait_state($target, $job, 'done|failed'), 'done', 'a renamed role is the same role');
is($target->safe_psql('postgres', 'SELECT DISTINCT who FROM numbers'), 'passed', '... under its new name');
$target->safe_psql('postgres', 'TRUNCATE numbers; DROP OWNED BY passed; DROP ROLE passed');
$job = $hold->('DROP OWNED BY passing; DROP ROLE passing');
like(wait_state($target, $job, 'done|failed'), qr/^(?:done|failed)$/, 'dropping a role ends its job, unless the checks are over');
is($target->safe_psql('postgres', "SELECT rows_copied FROM fastcopy.status WHERE job = $job"),
	$target->safe_psql('postgres', 'SELECT count(*) FROM numbers'), '... and all counted rows are stored');
is($target->safe_psql('postgres', "SELECT fastcopy.forget($job)"), '', '... and a superuser may forget it');

# A stopped job belongs to its owner. The owner, its members and superusers see it; it runs as the owner, whoever
# resumes it; and the source's connection string, given again, is shown nowhere.
$target->safe_psql('postgres', q(
	CREATE ROLE stranger LOGIN;
	CREATE ROLE bystander LOGIN;
	CREATE ROLE watcher LOGIN IN ROLE pg_read_all_stats;
	CREATE ROLE signaller LOGIN IN ROLE pg_signal_backend;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO stranger, watcher, signaller;
	ALTER TABLE numbers ADD CONSTRAINT small CHECK (i < 50) NOT VALID));
fails_with($target, "SET ROLE group_role; $copy", '23514', qr/violates check constraint "small"/, 'a job that fails', user => 'member');
my $stopped = $target->safe_psql('postgres', 'SELECT max(job) FROM fastcopy.status');
$target->safe_psql('postgres', 'ALTER TABLE numbers DROP CONSTRAINT small');
my $resume = "SELECT fastcopy.resume($stopped, '$conninfo')";
fails_with($target, $resume, '42501', qr/permission denied for function resume/, 'PUBLIC has no EXECUTE on resume', user => 'bystander');
fails_with($target, $resume, '42704', qr/^fastcopy job $stopped does not exist$/, 'for a role without privileges the job does not exist',
	user => 'stranger');
fails_with($target, $resume, '42501', qr/^permission denied for fastcopy job $stopped$/, "a role that sees the job may not resume it: $_",
	user => $_) for 'watcher', 'signaller';
fails_with($target, "SELECT fastcopy.resume($stopped)", '2F003', qr/^password is required$/, 'the ledger does not keep the password',
	user => 'member');
is($as->('member', $resume), $stopped, 'a member of the owner resumes the job');
is(wait_state($target, $stopped, 'done|failed'), 'done', '... and it continues');
is($target->safe_psql('postgres', 'SELECT DISTINCT who FROM numbers'), 'group_role', '... as its owner');
$target->safe_psql('postgres', 'TRUNCATE numbers');

# A role that resumes a superuser's job would have its rows inserted, and its triggers run, as a superuser.
$target->safe_psql('postgres', 'CREATE ROLE boss LOGIN SUPERUSER; GRANT boss TO member;
	ALTER TABLE numbers ADD CONSTRAINT small CHECK (i < 50) NOT VALID');
fails_with($target, $copy, '23514', qr/violates check constraint "small"/, 'a job of a superuser that fails', user => 'boss');
$stopped = $target->safe_psql('postgres', 'SELECT max(job) FROM fastcopy.status');
fails_with($target, "SELECT fastcopy.resume($stopped, '$conninfo')", '42501', qr/^permission denied to resume fastcopy job $stopped$/,
	'a member of a superuser does not resume its job', user => 'member');
$target->safe_psql('postgres', 'ALTER TABLE numbers DROP CONSTRAINT small; TRUNCATE numbers');

# Functions that PUBLIC may call show only what the views show. A new function must be added to one of these lists,
# and no function runs as another role than its caller.
my $callable = sub {
	return $target->safe_psql('postgres', qq(
		SELECT string_agg(DISTINCT proname, ' ' ORDER BY proname) FROM pg_proc
		WHERE pronamespace = 'fastcopy'::regnamespace AND $_[0]));
};
is($callable->(q(has_function_privilege('bystander', oid, 'EXECUTE'))),
	'fdw_validator incoming_rows is_owner live_jobs live_workers may_see progress_line state_now', 'functions of PUBLIC');
is($callable->(q(NOT has_function_privilege('bystander', oid, 'EXECUTE'))),
	'cancel check clone compare copy forget resume set_workers start sync wait', 'functions that have to be granted');
is($callable->('prosecdef'), '', 'functions that run as their owner');

unlike($target->safe_psql('postgres', 'SELECT j, s FROM fastcopy.job j JOIN fastcopy.status s USING (job)'),
	qr/sesame/, 'no password in the ledger');
unlike(slurp_file($target->logfile), qr/sesame/, 'no password in the log');
# A role that may alter its mapping cannot put another option into one of its values, whatever the white space.
my $reader = $source->safe_psql('postgres', 'SELECT current_user');
$target->safe_psql('postgres', sprintf(q(
	CREATE ROLE sneak LOGIN;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO sneak;
	CREATE SERVER fixed FOREIGN DATA WRAPPER pg_fastcopy OPTIONS (host '%s', port '%s', dbname 'postgres');
	GRANT USAGE ON FOREIGN SERVER fixed TO sneak;
	CREATE TABLE untouched (i int);
	GRANT INSERT ON untouched TO sneak;
	CREATE USER MAPPING FOR sneak SERVER fixed OPTIONS (user '%s', password_required 'false');), $source->host, $source->port, $reader));
for my $space (' ', '\t', '\n', '\r', '\x0b', '\f')
{
	$target->safe_psql('postgres', "ALTER USER MAPPING FOR sneak SERVER fixed OPTIONS (SET user E'$reader${space}host=/elsewhere')");
	fails_with($target, "SELECT fastcopy.copy('fixed', 'numbers', 'untouched')", '08001', qr/^could not connect to the source server$/,
		"an option behind '$space'", user => 'sneak', detail => qr/role "$reader\s(?:host=\/elsewhere)?.*does not exist/s);
}

# The certificate of the server's account serves superusers only: libpq finds it in that account's home, and a source may
# ask for one besides the password.
SKIP:
{
	# An authority, and a server and a client that it certifies. The client's certificate is where libpq looks for it.
	my $dir  = PostgreSQL::Test::Utils::tempdir();
	my $home = "$dir/home";
	my $openssl = sub { return system('openssl', @_) == 0 };
	mkdir $_ for $home, "$home/.postgresql";
	my $made = $openssl->(qw(req -new -x509 -days 2 -nodes -subj /CN=authority), '-keyout', "$dir/ca.key", '-out', "$dir/ca.crt");
	for my $name ('127.0.0.1', 'reader')
	{
		$made &&= $openssl->(qw(req -new -nodes -subj), "/CN=$name", '-keyout', "$dir/$name.key", '-out', "$dir/$name.csr")
		  && $openssl->(qw(x509 -req -days 2), '-in', "$dir/$name.csr", '-CA', "$dir/ca.crt", '-CAkey', "$dir/ca.key",
			'-CAcreateserial', '-out', "$dir/$name.crt");
	}
	skip 'openssl makes no certificates here', 7 unless $made;
	skip 'the server has no TLS', 7
	  if $source->safe_psql('postgres', q(SELECT setting FROM pg_settings WHERE name = 'ssl_library')) eq '';
	rename "$dir/reader.crt", "$home/.postgresql/postgresql.crt" or die $!;
	rename "$dir/reader.key", "$home/.postgresql/postgresql.key" or die $!;
	chmod 0600, "$dir/127.0.0.1.key", "$home/.postgresql/postgresql.key";

	# TLS is for TCP only.
	my $hba   = $source->data_dir . '/pg_hba.conf';
	my $lines = slurp_file($hba) =~ s/^host .*\n//mgr;
	unlink $hba;
	append_to_file($hba, "hostssl all reader all scram-sha-256 clientcert=verify-full\n$lines");
	$source->append_conf('postgresql.conf', "listen_addresses = '127.0.0.1'\nssl = on\nssl_ca_file = '$dir/ca.crt'\n"
		  . "ssl_cert_file = '$dir/127.0.0.1.crt'\nssl_key_file = '$dir/127.0.0.1.key'\n");
	$source->restart;
	# The home directory of the account is that of the target's environment.
	local $ENV{HOME} = $home;
	$target->restart;

	$target->safe_psql('postgres', 'CREATE TABLE over_tls (i integer); GRANT INSERT ON over_tls TO group_role');
	my $over_tls = 'SELECT '
	  . call_sql('copy', $source, source => conninfo($source, host => '127.0.0.1', user => 'reader', password => 'sesame'),
		source_table => 'numbers', target_table => 'over_tls', statistics => 'false');
	is($target->safe_psql('postgres', $over_tls), '100', 'a superuser uses the certificate of the account');
	# The certificate must be of the host that was asked for, by an authority that is known.
	link "$dir/ca.crt", "$home/.postgresql/root.crt" or die $!;
	my %tls = (host => '127.0.0.1', user => 'reader', password => 'sesame', sslmode => 'verify-full');
	my $verified = conninfo($source, %tls);
	is($target->safe_psql('postgres', "SELECT fastcopy.copy('$verified', 'numbers', 'over_tls', 2, truncate => true)"), '100', 'with sslmode=verify-full');
	is($target->safe_psql('postgres', "SELECT differs FROM fastcopy.compare('$verified', 'numbers', 'over_tls', 2) WHERE range = 'total'"), 'f', '... and compared');
	$target->safe_psql('postgres', 'CREATE DATABASE tls TEMPLATE template0');
	$target->safe_psql('tls', 'CREATE EXTENSION pg_fastcopy');
	is($target->safe_psql('tls', "SELECT fastcopy.wait(fastcopy.clone('$verified hostaddr=127.0.0.1', '{numbers}', owners => false, privileges => false)); SELECT count(*) FROM numbers"),
		"done\n100", '... and cloned, with definitions by pg_dump');
	fails_with($target, "SELECT fastcopy.copy('" . conninfo($source, %tls, host => 'localhost', hostaddr => '127.0.0.1') . "', 'numbers', 'over_tls')",
		'08001', qr/^could not connect to the source server$/, '... not from a host of another name', detail => qr/server certificate for "127.0.0.1" does not match host name "localhost"/);
	fails_with($target, $over_tls, '08001', qr/^could not connect to the source server$/, '... and nobody else does',
		user => 'member', detail => qr/requires a valid client certificate/);
	no_leftovers($source, $target, 'copies over TLS');
}

no_leftovers($source, $target, 'at the end');

done_testing();
