# Bad input: any mistake in a call of fastcopy.start raises one error in the caller's session and leaves nothing
# behind.
#
# Each case is one call that must fail with a given SQLSTATE and message, followed by the proof that there is no job
# in the ledger, no process, no session on the source, no shared memory and no lock. Beside the rejected calls are the
# most similar ones that must work: a view with a trigger, a role that bypasses row security, fewer workers than
# requested.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use FastcopyGate;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair();

sub call
{
	my ($function, %arguments) = @_;
	return call_sql($function, $source, %arguments);
}

sub start
{
	my (%arguments) = @_;
	return 'SELECT ' . call('start', %arguments);
}

# Asserts that the SQL fails with that error, and that nothing is left of the attempt.
sub refused
{
	my ($sql, $sqlstate, $message, $name, %opts) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $parts = fails_with($target, $sql, $sqlstate, $message, $name, %opts);
	my $jobs = $target->safe_psql('postgres', 'SELECT count(*) FROM fastcopy.job');
	is($jobs, '0', "$name: no job");
	no_leftovers($source, $target, $name);
	# A job that was not rejected must not affect the cases that follow.
	$target->safe_psql('postgres', 'SELECT fastcopy.forget(job) FROM fastcopy.status') if $jobs;
	return $parts;
}

# Asserts that the copy works and copies that many rows, then forgets it and empties the target.
sub works
{
	my ($sql, $rows, $name, %opts) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($status, $stdout, $stderr) = run_verbose($target, $sql, %opts);
	is($stdout, $rows, $name) or diag $stderr;
	$target->safe_psql('postgres', 'SELECT fastcopy.forget(job) FROM fastcopy.status');
	no_leftovers($source, $target, $name);
	return $stderr;
}

my $tables = q(
CREATE TABLE public.items (id integer PRIMARY KEY, name text, note json, place point);
CREATE TABLE public.victim (id integer);
);
$source->safe_psql('postgres', $tables);
$target->safe_psql('postgres', $tables);
$source->safe_psql('postgres', q(
INSERT INTO public.items SELECT g, 'item ' || g, '{}', point(g, g) FROM generate_series(1, 2000) g;
ANALYZE public.items;
));

# The connection.

refused(start(source => 'nonsense'),
	'42704', qr/^server "nonsense" does not exist$/,
	'source is neither a connection string nor a server', hint => qr/host=/);
refused(start(source => 'host=x password=open sesame'),
	'42601', qr/^invalid connection string for the source$/,
	'source is not a connection string', detail => qr/^missing "=" after "\.\.\."/, hint => qr/host=/);
refused(start(source => conninfo($source) . ' bogus_option=1'),
	'42601', qr/^invalid connection string for the source$/,
	'source has an unknown option', detail => qr/bogus_option/);
refused(start(source => conninfo($source) . " password='unfinished"),
	'42601', qr/^invalid connection string for the source$/,
	'source has an open quote');

# The message describes what is wrong with a connection string, but does not repeat words that may be a password.
for my $case (
	[ 'host=nowhere password=open sesame', 'a password with a space' ],
	[ 'postgresql://me:open%zzsesame@nowhere/x', 'a URI with a bad escape' ],
	[ 'postgresql://me:sesame@[::1/x', 'a URI with an open bracket' ])
{
	my ($string, $name) = @$case;
	my $parts = refused(start(source => $string),
		'42601', qr/^invalid connection string for the source$/, $name);
	unlike(join('', values %$parts), qr/sesame/, "$name: the error does not show it");
}

refused(start(source => conninfo($source, host => PostgreSQL::Test::Utils::tempdir_short())),
	'08001', qr/^could not connect to the source server$/,
	'no server on the socket', detail => qr/No such file or directory/);
refused(start(source => conninfo($source, host => '127.0.0.1', port => 1)),
	'08001', qr/^could not connect to the source server$/,
	'no server on the port', detail => qr/Connection refused/);
refused(start(source => conninfo($source, dbname => 'nowhere')),
	'08001', qr/^could not connect to the source server$/,
	'missing database', detail => qr/database "nowhere" does not exist/);
refused(start(source => conninfo($source, user => 'nobody')),
	'08001', qr/^could not connect to the source server$/,
	'missing role', detail => qr/role "nobody" does not exist/);

add_scram_role($source, 'scram');
$source->safe_psql('postgres', 'GRANT SELECT ON public.items TO scram');

my $parts = refused(start(source => conninfo($source, user => 'scram', password => 'abracadabra')),
	'08001', qr/^could not connect to the source server$/,
	'wrong password', detail => qr/password authentication failed for user "scram"/);
unlike(join('', values %$parts), qr/abracadabra/, 'wrong password: the error does not show it');
refused(start(source => conninfo($source, user => 'scram')),
	'08001', qr/^could not connect to the source server$/,
	'no password', detail => qr/no password supplied/);

my $job = $target->safe_psql('postgres',
	start(source => conninfo($source, user => 'scram', password => 'sesame')));
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'right password');
unlike($target->safe_psql('postgres', 'SELECT s, j FROM fastcopy.status s JOIN fastcopy.job j USING (job)'),
	qr/sesame/, 'right password: the ledger does not know it');
is(table_digest($target, 'public.items'), table_digest($source, 'public.items'),
	'right password: the rows are copied');
$target->safe_psql('postgres', "SELECT fastcopy.forget($job); TRUNCATE public.items");

# The tables and their columns.

refused(start(source_table => 'public.nowhere'), '42P01', qr/"public.nowhere" does not exist/,
	'missing source table');
refused(start(source_table => 'nowhere.items'), '3F000', qr/schema "nowhere" does not exist/,
	'missing schema on the source');
refused(start(source_table => ''), '42602', qr/invalid name syntax/, 'empty name of the source table');
refused(start(source_table => 'public.items_pkey'), '42809', qr/is not a table/,
	'source is an index', detail => qr/can be copied/);
refused(start(target_table => 'public.nowhere'), '42P01', qr/"public.nowhere" does not exist/,
	'missing target table');
refused(start(target_table => 'nowhere.items'), '3F000', qr/schema "nowhere" does not exist/,
	'missing schema on the target');
refused(start(target_table => ''), '42602', qr/invalid name syntax/, 'empty name of the target table');

$target->safe_psql('postgres', q(
CREATE TABLE public.narrow (id integer, name text, note json);
CREATE TABLE public.generated (id integer, name text, note json,
	place point GENERATED ALWAYS AS (point(id, id)) STORED);
CREATE TABLE public.other (x integer);
));
refused(start(target_table => 'public.narrow'),
	'42703', qr/^column "place" of source table "public.items" does not exist in target table "public.narrow"$/,
	'source column absent on the target', hint => qr/columns =>/);
refused(start(columns => \q(ARRAY['id', 'nowhere'])),
	'42703', qr/^column "nowhere" of source table "public.items" does not exist$/,
	'unknown column in columns');
refused(start(columns => \q(ARRAY['ID'])),
	'42703', qr/^column "ID" of source table/, 'columns are names, not SQL');
refused(start(columns => \q(ARRAY['id', 'id'])),
	'42701', qr/^column "id" specified more than once$/, 'column twice in columns');
refused(start(columns => \q(ARRAY[]::text[])),
	'22023', qr/^argument "columns" must not be empty$/, 'columns is empty');
refused(start(columns => \q(ARRAY['id', NULL])),
	'22004', qr/^argument "columns" must not contain nulls$/, 'columns has a null');
refused(start(target_table => 'public.generated', columns => \q(ARRAY['id', 'place'])),
	'42P10', qr/^cannot copy into generated column "place" of target table "public.generated"$/, 'columns names what the target generates');
refused(start(target_table => 'public.other'), '42703', qr/does not exist in target table/, 'no column in common');

refused(start(key => 'nowhere'),
	'42703', qr/^key column "nowhere" of source table "public.items" does not exist$/,
	'unknown key');
refused(start(key => 'note'), '42883', qr/could not identify an ordering operator for type json/,
	'key of type json');
refused(start(key => 'place'), '42883', qr/could not identify an ordering operator for type point/,
	'key of type point');
refused(start(key => 'name'), '22023', qr/^cannot split public.items on column "name"$/,
	'key without an index', hint => qr/create the index/);

# The filter: it is put in parentheses, and must not be able to close them.

refused(start(filter => 'id ='), '42601', qr/syntax error/, 'filter does not parse');
refused(start(filter => "name = 'open"), '42601', qr/unterminated quoted string/, 'filter with an open quote');
refused(start(filter => 'true /* open'), '42601', qr/unterminated .*comment/, 'filter with an open comment');
refused(start(filter => ''), '42601', qr/syntax error/, 'filter is empty');
refused(start(filter => 'id + 1'), '42804', qr/must be type boolean/, 'filter is not a condition');
refused(start(filter => 'nowhere = 1'), '42703', qr/column "nowhere" does not exist/,
	'filter with an unknown column');
refused(start(filter => 'count(*) > 1'), '42803', qr/aggregate functions are not allowed/,
	'filter with an aggregate');
refused(start(filter => 'id = $1'), '42P02', qr/there is no parameter \$1/, 'filter with a parameter');
refused(start(filter => 'true) OR (true'), '42601', qr/syntax error/,
	'filter that closes a parenthesis');
refused(start(filter => 'true LIMIT 1'), '42601', qr/syntax error/, 'filter with another clause');
refused(start(filter => 'true UNION SELECT FROM public.victim'), '42601', qr/syntax error/,
	'filter with another query');
refused(start(filter => 'true; SELECT 1'), '42601', qr/syntax error|cannot insert multiple commands/,
	'filter with a second statement');
refused(start(filter => 'true); DROP TABLE public.victim; SELECT (true'),
	'42601', qr/syntax error|cannot insert multiple commands/,
	'filter with statements between parentheses');
refused(start(filter => 'true); COMMIT; DROP TABLE public.victim; SELECT (true'),
	'42601', qr/syntax error|cannot insert multiple commands/,
	'filter with statements that leave the transaction');
is($source->safe_psql('postgres', q(SELECT to_regclass('public.victim'))),
	'victim', 'statements in a filter are not executed');

# Arguments.

for my $workers (0, -1, 1025, 2147483647)
{
	refused(start(workers => $workers),
		'22023', qr/^number of workers must be between 1 and 1024$/, "$workers workers");
}
for my $argument (qw(source source_table target_table workers truncate triggers statistics))
{
	refused(start($argument => undef),
		'22004', qr/^argument "$argument" must not be null$/, "$argument is null");
}
refused('SELECT ' . call('copy', workers => 0),
	'22023', qr/^number of workers must be between 1 and 1024$/, 'copy with no workers');

# The target's kind of relation.

$target->safe_psql('postgres', q(
CREATE VIEW public.plain_view AS SELECT * FROM public.items;
CREATE MATERIALIZED VIEW public.matview AS SELECT * FROM public.items;
CREATE SEQUENCE public.seq;
CREATE TYPE public.pair AS (id integer, name text);
CREATE TABLE public.kept (LIKE public.items);
CREATE VIEW public.trigger_view AS SELECT * FROM public.kept;
CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN INSERT INTO public.kept VALUES (NEW.*); RETURN NEW; END';
CREATE TRIGGER keep INSTEAD OF INSERT ON public.trigger_view
	FOR EACH ROW EXECUTE FUNCTION public.keep();
));
refused(start(target_table => 'public.plain_view'), '42809', qr/^cannot copy to view "plain_view"$/,
	'target is a view', hint => qr/INSTEAD OF INSERT trigger/);
refused(start(target_table => 'public.matview'), '42809', qr/"matview"/, 'target is a materialized view');
refused(start(target_table => 'public.seq'), '42809', qr/"seq"/, 'target is a sequence');
refused(start(target_table => 'public.items_pkey'), '42809', qr/"items_pkey"/, 'target is an index');
refused(start(target_table => 'public.pair'), '42809', qr/"pair"/, 'target is a composite type');
refused(start(target_table => 'pg_catalog.pg_class'), '42501', qr/system catalog "pg_class"/,
	'target is a system catalog');
refused(start(target_table => 'fastcopy.status'), '42809', qr/^cannot copy to view "status"$/,
	'target is a view of ours');
refused('CREATE TEMPORARY TABLE temporary (LIKE public.items); '
	  . start(target_table => 'temporary'),
	'0A000', qr/^cannot copy into temporary table "temporary"$/,
	'target is a temporary table', detail => qr/cannot see/, hint => qr/unlogged/);
works('SELECT ' . call('copy', target_table => 'public.trigger_view'), 2000,
	'target is a view with a trigger');
is(table_digest($target, 'public.kept'), table_digest($source, 'public.items'),
	'target is a view with a trigger: the rows are stored');

# Privileges: on the source those of the role in the connection string, on the target the caller's.

$source->safe_psql('postgres', q(
CREATE ROLE reader LOGIN;
GRANT SELECT (id) ON public.items TO reader;
));
$target->safe_psql('postgres', q(
CREATE ROLE loader LOGIN;
));
my @as_loader = (user => 'loader');
my $with_password = conninfo($source, user => 'scram', password => 'sesame');
my $as_reader = conninfo($source, user => 'reader');

refused(start(), '42501', qr/permission denied for function start/,
	'role that was not granted start', @as_loader);
$target->safe_psql('postgres',
	'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO loader');
# A role that is not a superuser must give a password, and the source must ask for it: the credentials of the server's
# own account are not lent.
refused(start(), '2F003', qr/^password is required$/, 'no password of a role that is not a superuser',
	@as_loader, detail => qr/must provide a password/);
$target->safe_psql('postgres', 'GRANT INSERT ON public.items TO loader');
refused(start(source => conninfo($source, password => 'sesame')), '2F003', qr/^password is required$/,
	'a password that the source does not ask for', @as_loader, detail => qr/does not ask for a password/);
$target->safe_psql('postgres', 'REVOKE INSERT ON public.items FROM loader');
for my $option ('passfile', 'service', 'sslcert', 'sslkey')
{
	refused(start(source => conninfo($source, user => 'scram', password => 'sesame', $option => '/nowhere')),
		'42501', qr/^connection option "$option" is superuser-only$/, "$option of a role that is not a superuser",
		@as_loader);
}
refused(start(source => $as_reader), '42501', qr/permission denied for table items/,
	'no SELECT on the source', context => qr/source/);
refused(start(source => $with_password), '42501', qr/permission denied for table items/, 'no INSERT on the target', @as_loader);

$target->safe_psql('postgres', 'GRANT INSERT (id, name) ON public.items TO loader');
refused(start(source => $with_password), '42501', qr/permission denied for table items/,
	'INSERT on only some columns of the target', @as_loader);
works('SELECT ' . call('copy', source => $with_password, columns => \q(ARRAY['id', 'name'])), 2000,
	'INSERT on the columns that are copied', @as_loader);
$target->safe_psql('postgres', 'TRUNCATE public.items');

$target->safe_psql('postgres', 'GRANT INSERT ON public.items TO loader');
refused(start(source => $with_password, truncate => 'true'), '42501', qr/permission denied for table items/,
	'no TRUNCATE on the target', @as_loader);

$target->safe_psql('postgres', q(
CREATE SCHEMA closed;
CREATE TABLE closed.items (LIKE public.items);
GRANT INSERT ON closed.items TO loader;
));
refused(start(source => $with_password, target_table => 'closed.items'), '42501', qr/permission denied for schema closed/,
	'no USAGE on the schema of the target', @as_loader);

# Row security on the target, which COPY FROM does not support.

$target->safe_psql('postgres', q(
CREATE TABLE public.guarded (LIKE public.items);
ALTER TABLE public.guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_may ON public.guarded USING (true) WITH CHECK (true);
GRANT INSERT, SELECT ON public.guarded TO loader;
CREATE ROLE exempt LOGIN BYPASSRLS;
GRANT INSERT ON public.guarded TO exempt;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO exempt;
CREATE TABLE public.forced (LIKE public.items);
ALTER TABLE public.forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY, OWNER TO loader;
));
refused(start(source => $with_password, target_table => 'public.guarded'),
	'0A000', qr/row-level security/, 'row security on the target', @as_loader,
	detail => qr/role "loader"/, hint => qr/BYPASSRLS/);
refused(start(source => $with_password, target_table => 'public.forced'),
	'0A000', qr/row-level security/, 'row security forced on the owner', @as_loader);
refused('SET row_security = off; ' . start(source => $with_password, target_table => 'public.guarded'),
	'42501', qr/row-level security/, 'row_security off does not help: the error is that of COPY with this setting', @as_loader);
works('SELECT ' . call('copy', source => $with_password, target_table => 'public.guarded'), 2000,
	'row security that the role bypasses', user => 'exempt');

# Row security on the source: an error is better than missing rows.
$source->safe_psql('postgres', q(
CREATE TABLE public.guarded (LIKE public.items);
ALTER TABLE public.guarded ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.guarded TO reader;
));
refused(start(source => $as_reader, source_table => 'public.guarded'),
	'42501', qr/row-level security/, 'row security on the source');

# TRUNCATE of the table that is to be read.

my $self = conninfo($target);
$target->safe_psql('postgres', q(
CREATE TABLE public.loop (id integer);
CREATE TABLE public.other_loop (id integer);
INSERT INTO public.loop SELECT generate_series(1, 100);
CREATE VIEW public.loop_view AS SELECT * FROM public.loop;
CREATE TABLE public.parted (id integer) PARTITION BY RANGE (id);
CREATE TABLE public.part PARTITION OF public.parted FOR VALUES FROM (0) TO (1000);
INSERT INTO public.parted SELECT generate_series(1, 100);
CREATE TABLE public.parent (id integer);
CREATE TABLE public.child () INHERITS (public.parent);
INSERT INTO public.child SELECT generate_series(1, 100);
));
for my $case (
	[ 'public.loop',      'public.loop',   'source and target are the same table' ],
	[ 'public.loop_view', 'public.loop',   'source is a view over the target' ],
	[ 'public.part',      'public.parted', 'source is a partition of the target' ],
	[ 'public.parted',    'public.part',   'target is a partition of the source' ],
	[ 'public.child',     'public.parent', 'source is a child of the target' ],
	[ 'public.parent',    'public.child',  'target is a child of the source' ])
{
	my ($from, $to, $name) = @$case;
	refused(start(source => $self, source_table => $from, target_table => $to, truncate => 'true'),
		'55006', qr/^cannot truncate "$to": it is the source of the copy$/,
		$name, hint => qr/truncate/);
}
is($target->safe_psql('postgres',
	'SELECT (SELECT count(*) FROM public.loop), (SELECT count(*) FROM public.parted),
		(SELECT count(*) FROM public.parent)'),
	'100|100|100', 'nothing was truncated');
refused(start(source => $self, source_table => 'public.loop', target_table => 'public.loop',
		truncate => 'true', filter => 'id IN (SELECT id FROM public.loop)'),
	'55006', qr/^cannot truncate/, 'same table, also in the filter');
refused(start(source => $self, source_table => 'public.victim', target_table => 'public.loop',
		truncate => 'true', columns => \q(ARRAY['id']),
		filter => 'id IN (SELECT id FROM public.loop)'),
	'55006', qr/^cannot truncate/, 'the filter reads the target');
works('SELECT ' . call('copy', source => $self, source_table => 'public.loop', target_table => 'public.loop'),
	100, 'the same table without truncate is doubled');
is($target->safe_psql('postgres', 'SELECT count(*) FROM public.loop'), '200',
	'the same table without truncate: each row is stored twice');
works('SELECT ' . call('copy', source => $self, source_table => 'public.loop',
		target_table => 'public.other_loop', truncate => 'true'),
	200, 'another table of the same database');

# A copy of the database has the same OIDs, but is another database.
$target->safe_psql('template1', 'CREATE DATABASE twin TEMPLATE postgres');
works('SELECT ' . call('copy', source => conninfo($target, dbname => 'twin'),
		source_table => 'public.loop', target_table => 'public.loop', truncate => 'true'),
	200, 'the same table of a copy of the database');

# What the calling transaction has done to the target.

refused('BEGIN; CREATE TABLE public.fresh (LIKE public.items); ' . start(target_table => 'public.fresh'),
	'55000', qr/^target table "public.fresh" was created or altered by the calling transaction$/,
	'target created by the calling transaction', hint => qr/Commit the transaction first/);
refused('BEGIN; SAVEPOINT a; CREATE TABLE public.fresh (LIKE public.items); RELEASE a; '
	  . start(target_table => 'public.fresh'),
	'55000', qr/created or altered by the calling transaction/,
	'target created by a subtransaction of the calling transaction');
refused('BEGIN; ALTER TABLE public.items ADD COLUMN more integer; ' . start(),
	'55000', qr/created or altered by the calling transaction/,
	'target altered by the calling transaction');
refused('BEGIN; TRUNCATE public.items; ' . start(),
	'55000', qr/created or altered by the calling transaction/,
	'target truncated by the calling transaction');

# The calling session looks for a conflicting lock after half a second: the deadlock detector cannot see this
# deadlock.
my $blocked = qr/^cannot wait for the copy into public.items: the current transaction blocks it$/;
for my $case (
	[ 'LOCK TABLE public.items IN ACCESS EXCLUSIVE MODE', 'target locked' ],
	[ 'LOCK TABLE public.items IN SHARE MODE',            'target locked against writing' ],
	[ 'CREATE INDEX ON public.items (name)',              'target indexed' ])
{
	my ($statement, $name) = @$case;
	refused("BEGIN; $statement; " . start(), '55006', $blocked,
		"$name by the calling transaction", hint => qr/transaction that has not locked/);
}
refused('BEGIN; SELECT count(*) FROM public.items; ' . start(truncate => 'true'),
	'55006', $blocked, 'target to be truncated was read by the calling transaction');

# copy() meets such a lock when the job already runs: the job ends as cancelled.
for my $case (
	[ 'INSERT INTO public.items (id) VALUES (1000)', 'a key that the caller has inserted' ],
	[ 'DELETE FROM public.items WHERE id = 1000',    'a key that the caller has deleted' ])
{
	my ($statement, $name) = @$case;
	$target->safe_psql('postgres', 'TRUNCATE public.items; INSERT INTO public.items (id) VALUES (1000)')
	  if $statement =~ /DELETE/;
	fails_with($target, "BEGIN; $statement; SELECT " . call('copy'),
		'55006', qr/the current transaction blocks it$/, $name);
	no_leftovers($source, $target, $name);
	is($target->safe_psql('postgres', 'SELECT state FROM fastcopy.status'), 'cancelled',
		"$name: the job is cancelled");
	$target->safe_psql('postgres', 'SELECT fastcopy.forget(job) FROM fastcopy.status');
}
$target->safe_psql('postgres', 'TRUNCATE public.items');

# Too few worker slots. Jobs that wait for a lock on the source occupy all of them.

$source->safe_psql('postgres', q(
CREATE FUNCTION public.gate() RETURNS boolean LANGUAGE plpgsql AS
	'BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared(1); RETURN true; END';
));
$target->append_conf('postgresql.conf', "max_worker_processes = 3\nmax_logical_replication_workers = 0");
$target->restart;
my $chunky = q(SET fastcopy.chunk_size = '8kB'; );

my $warning = works($chunky . 'SELECT ' . call('copy', workers => 4), 2000, 'fewer workers than asked for');
like($warning, qr/WARNING:  53400: only 2 of 4 workers could be started\n.*HINT:  .*max_worker_processes/s,
	'fewer workers than asked for: a warning');
is(table_digest($target, 'public.items'), table_digest($source, 'public.items'),
	'fewer workers than asked for: the rows are right');
$target->safe_psql('postgres', 'TRUNCATE public.items');

my $gatekeeper = $source->background_psql('postgres');
hold_gate($gatekeeper);
my %stalled = (
	target_table => 'public.kept', columns => \q(ARRAY['id']), filter => 'public.gate()');

for my $case (
	[ 1, qr/^out of background worker slots$/, 'no slot for a worker' ],
	[ 2, qr/^out of background worker slots$/, 'no slot for a coordinator' ])
{
	my ($workers, $message, $name) = @$case;
	$job = $target->safe_psql('postgres', $chunky . start(%stalled, workers => $workers));
	ok( $target->poll_query_until('postgres',
			"SELECT count(*) = $workers FROM fastcopy.workers WHERE source_pid <> 0"),
		"$name: all are taken");
	fails_with($target, start(), '53400', $message, $name, hint => qr/max_worker_processes/);
	is($target->safe_psql('postgres', 'SELECT count(*) FROM fastcopy.job'), '1', "$name: no job");
	is( $target->safe_psql('postgres',
			"SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'fastcopy%'"),
		$workers + 1,
		"$name: no process");
	$target->safe_psql('postgres', "SELECT fastcopy.cancel($job)");
	wait_state($target, $job, 'cancelled');
	$target->safe_psql('postgres', "SELECT fastcopy.forget($job)");
	no_leftovers($source, $target, $name);
}
$gatekeeper->quit;

done_testing();
