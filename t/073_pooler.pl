# A source behind PgBouncer: with a server connection for each session of a job, with one for each transaction only,
# and with fewer than the job has sessions. The settings of a job's sessions do not leak to others.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopySession;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'PgBouncer is not installed' if system('command -v pgbouncer > /dev/null') != 0;

my ($source, $target) = start_pair();
my $folder = PostgreSQL::Test::Utils::tempdir_short();
my $port   = PostgreSQL::Test::Cluster::get_free_port();
my $server = sprintf 'host=%s port=%s dbname=postgres', $source->host, $source->port;
append_to_file("$folder/users", qq("reader" ""\n));
append_to_file("$folder/pgbouncer.ini", qq(
[databases]
session_10 = $server pool_mode=session pool_size=10
session_3 = $server pool_mode=session pool_size=3
transaction_10 = $server pool_mode=transaction pool_size=10
transaction_3 = $server pool_mode=transaction pool_size=3
transaction_1 = $server pool_mode=transaction pool_size=1
[pgbouncer]
listen_port = $port
unix_socket_dir = $folder
auth_type = trust
auth_file = $folder/users
logfile = $PostgreSQL::Test::Utils::log_path/pgbouncer.log
query_wait_timeout = 1
));
my $pooler = IPC::Run::start([ 'pgbouncer', '--quiet', "$folder/pgbouncer.ini" ]);
END
{
	my $status = $?;
	$pooler->kill_kill if $pooler;
	$? = $status;
}
ok(defined seconds_until(sub { -S "$folder/.s.PGSQL.$port" }), 'PgBouncer is up');
sub behind { return "host=$folder port=$port user=reader dbname=$_[0]" }

$source->safe_psql('postgres', q(
	CREATE ROLE reader LOGIN;
	CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz, v text);
	INSERT INTO t SELECT g, timestamptz '2024-01-01 00:00+00' + g * interval '1 hour', md5(g::text) FROM generate_series(1, 20000) g;
	GRANT SELECT ON t TO reader;));
$target->safe_psql('postgres', 'CREATE TABLE t (id bigint, at timestamptz, v text)');
my $digest = table_digest($source, 'public.t');

# The settings of all server connections of a pool, each queried while the others are in a transaction.
sub settings_in_pool
{
	my ($pool, $size) = @_;
	my @sessions = map { FastcopySession->connect(path => "$folder/.s.PGSQL.$port", user => 'reader', dbname => $pool) } 1 .. $size;
	my %seen;
	for my $session (@sessions)
	{
		$session->query('BEGIN');
		my $pid = $session->value('SELECT pg_backend_pid()');
		$seen{$pid} = $session->value(
			q(SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE source = 'session' AND name <> 'application_name'));
	}
	is(scalar keys %seen, $size, "all $size server connections of $pool are asked");
	$_->query('ROLLBACK') for @sessions;
	$_->close for @sessions;
	return join "\n", map { $seen{$_} } sort { $a <=> $b } keys %seen;
}

my $before = settings_in_pool('transaction_3', 3);
for my $pool ('session_10', 'transaction_10', 'session_3', 'transaction_3')
{
	my $source_of = behind($pool);
	my $format = $pool =~ /10/ ? 'id' : 'at';
	is($target->safe_psql('postgres', "SET fastcopy.chunk_size = '64kB';
		SELECT fastcopy.copy('$source_of', 'public.t', 't', 4, truncate => true)"), '20000', "$pool: a job with 1 + 4 sessions copies");
	is(table_digest($target, 'public.t'), $digest, '... each row once');
	is($target->safe_psql('postgres', "SELECT source_rows, target_rows, differs FROM fastcopy.compare('$source_of', 'public.t', 't', 2)"),
		'20000|20000|f', '... and compares');
}
is(settings_in_pool('transaction_3', 3), $before, 'no setting of a job stays behind in a pool');

# The coordinator uses the only connection.
my $source_of = behind('transaction_1');
fails_with($target, "SET fastcopy.retry_limit = 1; SET fastcopy.retry_delay = '10ms'; SELECT fastcopy.copy('$source_of', 'public.t', 't', 2, truncate => true)",
	'08P01', qr/query_wait_timeout/, 'a pool of one connection is too small');
like($target->safe_psql('postgres', 'SELECT state FROM fastcopy.status ORDER BY job DESC LIMIT 1'), qr/^failed$/, '... and the job ends');

no_leftovers($source, $target, 'PgBouncer');
done_testing();
