# A job runs as the role that called: its privileges, its row security, its name in defaults and triggers, and no
# way for a trigger to step out of it. The role is no superuser, so it brings a password.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The log tells all but the statements of sessions, which hold the password by their callers' choice.
my ($source, $target) = start_pair(
	target_conf => "log_statement = none\nlog_min_error_statement = panic\nlog_min_messages = debug5\n");

$source->safe_psql('postgres', q(
	SET password_encryption = 'scram-sha-256';
	CREATE ROLE reader LOGIN PASSWORD 'sesame';
	CREATE TABLE numbers AS SELECT i FROM generate_series(1, 100) i;
	GRANT SELECT ON numbers TO reader));
my $hba = $source->data_dir . '/pg_hba.conf';
my $old_hba = slurp_file($hba);
unlink $hba;
append_to_file($hba, "local all reader scram-sha-256\nhost all reader all scram-sha-256\n$old_hba");
$source->reload;
my $conninfo = conninfo($source, user => 'reader', password => 'sesame');

# group_role may not log in; member can become it.
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
is($target->safe_psql('postgres', 'SELECT DISTINCT who FROM numbers'), 'member', '... rows know who inserted them');
$target->safe_psql('postgres', 'TRUNCATE numbers');

is($as->('member', "SET ROLE group_role; $copy"), '100', 'as a role that may not log in');
is($target->safe_psql('postgres', 'SELECT DISTINCT who FROM numbers'), 'group_role', '... rows know it');
is($target->safe_psql('postgres', 'SELECT DISTINCT owner FROM fastcopy.status'), "group_role\nmember",
	'... and the jobs have owners');
is($as->('member', "SELECT count(*) FROM fastcopy.status WHERE owner = 'group_role'"), '1',
	'a member of the owner sees the job');
$target->safe_psql('postgres', 'TRUNCATE numbers');

is($target->safe_psql('postgres', 'SELECT pull()'), '100', 'in a SECURITY DEFINER function');
is($target->safe_psql('postgres', 'SELECT DISTINCT who FROM numbers'), 'group_role', '... as its owner');

fails_with($target,
	"SET ROLE group_role; SELECT fastcopy.copy('$conninfo', 'numbers', 'sly', statistics => false)",
	'42501', qr/cannot set parameter "role"/, 'a trigger cannot step out of the role', user => 'postgres');
fails_with($target,
	"SELECT fastcopy.start('$conninfo', 'numbers', 'sly', triggers => false)",
	'42501', qr/permission denied to set parameter "session_replication_role"/,
	'triggers are not for everybody to switch off', user => 'member');
unlike($target->safe_psql('postgres', 'SELECT j, s FROM fastcopy.job j JOIN fastcopy.status s USING (job)'),
	qr/sesame/, 'no password in the ledger');
unlike(slurp_file($target->logfile), qr/sesame/, 'no password in the log');
no_leftovers($source, $target, 'in the end');

done_testing();
