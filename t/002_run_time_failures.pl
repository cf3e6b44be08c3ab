# Failures after the start: the target rejects a row, the source cannot read a row, the target changes or is dropped,
# the source is lost.
#
# Each failure ends the job as failed: the ledger has the whole error, wait() and copy() raise it, the other workers
# stop, and the committed chunks are kept. Chunks are claimed in order, so when chunk n fails, all chunks before it
# are done except those that the other workers are copying.
#
# To act in the middle of a job, the test holds it there: the job's filter calls a function on the source that waits
# for an advisory lock, which the test holds.
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
my $workers = 3;

my $rows = 20000;
my $bad = 12345;
$source->safe_psql('postgres', qq(
CREATE TABLE public.items (id bigint, amount integer, name text);
INSERT INTO public.items SELECT g, 2 * g, 'name ' || g FROM generate_series(1, $rows) g;
UPDATE public.items SET amount = -1, name = NULL WHERE id = $bad;
VACUUM FULL public.items;
CREATE VIEW public.items_view AS
	SELECT id, amount / (CASE WHEN id = $bad THEN 0 ELSE 1 END) AS amount, name FROM public.items;

CREATE FUNCTION public.gate(id bigint) RETURNS boolean LANGUAGE plpgsql AS
'BEGIN
	IF id % 1000 = 1 THEN PERFORM pg_catalog.pg_advisory_xact_lock_shared(1); END IF;
	RETURN true;
END';
));

my $definition = 'id bigint, amount integer, name text';

# Recreates the target table.
sub new_target
{
	my ($columns, $more) = @_;
	$target->safe_psql('postgres',
		'DROP TABLE IF EXISTS public.items; CREATE TABLE public.items (' . ($columns || $definition) . '); '
		  . ($more || ''));
	return;
}

# A call as SQL, with small chunks, so that there are many.
sub call
{
	my ($function, %arguments) = @_;
	my $settings = delete $arguments{settings} // '';
	return "$settings; SET fastcopy.chunk_size = '64kB'; SELECT "
	  . call_sql($function, $source, workers => $workers, %arguments);
}

# Asserts what must be true of a failed job. Options: the expected detail and context; chunk => 0 if no chunk failed;
# unordered if the order of chunks does not determine which are done; target_gone; and but, a condition on rows that
# the job has not copied.
sub failed_well
{
	my ($job, $sqlstate, $message, $name, %opts) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	fails_with($target, "SELECT fastcopy.wait($job)", $sqlstate, $message,
		"$name: wait raises the error",
		detail => $opts{detail}, context => qr/fastcopy job $job$/m);

	my %is;
	@is{qw(state sqlstate error detail context chunk chunks_done copied finished live)} =
	  split /\x01/, $target->safe_psql('postgres', qq(
		SELECT concat_ws(E'\\x01', state, coalesce(sqlstate, ''), coalesce(error, ''), coalesce(detail, ''),
			coalesce(context, ''), coalesce(failed_chunk, 0), chunks_done, rows_copied,
			finished_at IS NOT NULL, workers)
		FROM fastcopy.status WHERE job = $job));
	is("$is{state} $is{sqlstate} $is{finished} $is{live}", "failed $sqlstate t 0",
		"$name: the ledger says failed");
	like($is{error}, $message, "$name: the ledger has the error");
	like($is{detail}, $opts{detail}, "$name: the ledger has the detail") if $opts{detail};
	like($is{context}, $opts{context}, "$name: the ledger has the context") if $opts{context};

	if (!defined $opts{chunk} || $opts{chunk})
	{
		cmp_ok($is{chunk}, '>', 0, "$name: the ledger knows the chunk");
		like($is{context}, qr/fastcopy chunk $is{chunk}: public\.items\w*/,
			"$name: the context tells the chunk");
		is( $target->safe_psql('postgres',
				"SELECT state FROM fastcopy.chunks WHERE job = $job AND chunk = $is{chunk}"),
			'failed', "$name: the chunk reads failed");
		cmp_ok($is{chunks_done}, '>=', $is{chunk} - $workers,
			"$name: the chunks before it are kept") unless $opts{unordered};
	}
	is( $target->safe_psql('postgres',
			"SELECT coalesce(sum(rows), 0) FROM fastcopy.chunks WHERE job = $job AND state = 'done'"),
		$is{copied}, "$name: rows_copied is what done chunks have copied");
	if (!$opts{target_gone})
	{
		my $condition = $opts{but} ? "WHERE NOT ($opts{but})" : '';
		is($target->safe_psql('postgres', "SELECT count(*) FROM public.items $condition"),
			$is{copied}, "$name: the target has the rows of the chunks that are done, and no other");
	}
	no_leftovers($source, $target, $name);
	$target->safe_psql('postgres', "SELECT fastcopy.forget($job)");
	return \%is;
}

# Runs a job that must fail at a row, once with start and wait, and once with copy.
sub fails_at_row
{
	my ($sqlstate, $message, $name, %opts) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %arguments = %{ $opts{arguments} || {} };

	new_target($opts{columns}, $opts{prepare});
	my $job = $target->safe_psql('postgres', call('start', %arguments));
	wait_state($target, $job, 'failed|done');
	failed_well($job, $sqlstate, $message, $name, %opts);

	new_target($opts{columns}, $opts{prepare});
	fails_with($target, call('copy', %arguments), $sqlstate, $message,
		"$name: copy raises the error", detail => $opts{detail}, context => $opts{context});
	is($target->safe_psql('postgres', 'SELECT state FROM fastcopy.status'),
		'failed', "$name: the job of copy is failed");
	$target->safe_psql('postgres', 'SELECT fastcopy.forget(job) FROM fastcopy.status');
	return;
}

# Rows that the target rejects.

fails_at_row('23505', qr/^duplicate key value violates unique constraint "items_pkey"$/,
	'duplicate key',
	prepare => "ALTER TABLE public.items ADD PRIMARY KEY (id); INSERT INTO public.items VALUES ($bad, 0)",
	but => "id = $bad AND amount = 0",
	detail => qr/^Key \(id\)=\($bad\) already exists\.$/, context => qr/COPY items, line \d+/);
fails_at_row('23514', qr/violates check constraint "positive"$/,
	'check violation',
	prepare => 'ALTER TABLE public.items ADD CONSTRAINT positive CHECK (amount > 0)',
	detail => qr/Failing row contains \($bad, -1, null\)/);
fails_at_row('23502', qr/^null value in column "name" of relation "items" violates not-null constraint$/,
	'not-null violation',
	columns => 'id bigint, amount integer, name text NOT NULL',
	detail => qr/Failing row contains \($bad, -1, null\)/);
fails_at_row('23503', qr/violates foreign key constraint/, 'foreign key violation',
	prepare => qq(CREATE TABLE IF NOT EXISTS public.known (id bigint PRIMARY KEY);
		INSERT INTO public.known SELECT g FROM generate_series(1, $rows) g WHERE g <> $bad ON CONFLICT DO NOTHING;
		ALTER TABLE public.items ADD FOREIGN KEY (id) REFERENCES public.known),
	detail => qr/\(id\)=\($bad\) is not present/);
fails_at_row('23505', qr/^duplicate key/, 'duplicate key that is found at commit',
	prepare => "ALTER TABLE public.items ADD UNIQUE (id) DEFERRABLE INITIALLY DEFERRED;
		INSERT INTO public.items VALUES ($bad, 0)",
	but => "id = $bad AND amount = 0",
	detail => qr/^Key \(id\)=\($bad\) already exists\.$/);
fails_at_row('22001', qr/^value too long for type character varying\(9\)$/,
	'text that is too long', columns => 'id bigint, amount integer, name varchar(9)',
	context => qr/COPY items, line \d+, column name/);
fails_at_row('22003', qr/^value "\d+" is out of range for type smallint$/,
	'integer out of range', columns => 'id bigint, amount smallint, name text',
	context => qr/column amount: "\d+"/);
fails_at_row('22003', qr/^numeric field overflow$/, 'numeric overflow',
	columns => 'id numeric(4,0), amount integer, name text',
	detail => qr/precision 4, scale 0/, context => qr/column id/);
fails_at_row('22P02', qr/^invalid input syntax for type integer: "name \d+"$/, 'value of another type',
	columns => 'id bigint, amount integer, name integer');
fails_at_row('P0001', qr/^no such item$/, 'trigger that raises an error',
	prepare => qq(CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN
				IF NEW.id = $bad THEN RAISE ''no such item'' USING DETAIL = ''told by a trigger''; END IF;
				RETURN NEW;
			END';
		CREATE TRIGGER refuse BEFORE INSERT ON public.items FOR EACH ROW EXECUTE FUNCTION public.refuse()),
	detail => qr/^told by a trigger$/, context => qr/PL\/pgSQL function (?:public\.)?refuse\(\)/);

# Rows that the source cannot read.

fails_at_row('22012', qr/^division by zero$/, 'view that divides by zero',
	arguments => { source_table => 'public.items_view' },
	context => qr/statement on the source: .*COPY \(SELECT .* FROM public\.items_view/);
fails_at_row('22012', qr/^division by zero$/, 'filter that divides by zero',
	arguments => { filter => "1 / (id - $bad) < 5" },
	context => qr/statement on the source: /);

$source->safe_psql('postgres', 'CREATE TABLE public.items_damaged AS TABLE public.items; CHECKPOINT');
my $file = $source->data_dir . '/'
  . $source->safe_psql('postgres', q(SELECT pg_relation_filepath('public.items_damaged')));
$source->stop;
open my $handle, '+<:raw', $file or die "could not open $file: $!";
seek $handle, 60 * 8192, 0;
print $handle "\xAA" x 64;
close $handle;
$source->start;
fails_at_row('XX001', qr/^invalid page in block 60 of relation/, 'damaged page',
	arguments => { source_table => 'public.items_damaged' }, context => qr/statement on the source: /);

# Events in the middle of a job. The workers wait at the gate, each in the middle of a chunk.

my $gatekeeper = $source->background_psql('postgres');
my $ddl        = $target->background_psql('postgres', on_error_stop => 0);

# Starts a job whose workers all wait at the gate when this returns; as the given user.
sub start_at_gate
{
	my (%arguments) = @_;
	my $user = delete $arguments{user};
	hold_gate($gatekeeper);
	my ($status, $job, $stderr) = run_verbose($target,
		call('start', filter => 'public.gate(id)', %arguments), user => $user);
	die "job did not start: $stderr\n" if $status != 0;
	wait_at_gate($source, $workers)
	  or die 'workers did not come to the gate';
	return $job;
}

# Sends a statement that waits for the workers' locks, and returns once it waits.
sub send_ddl
{
	my ($sql) = @_;
	$ddl->query_until(qr/sent/, "\\echo sent\n$sql;\n\\echo over\n");
	$target->poll_query_until('postgres',
		q(SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'relation' AND NOT granted))
	  or die 'the statement does not wait';
	return;
}

new_target();
my $job = start_at_gate();
send_ddl('DROP TABLE public.items');
open_gate($gatekeeper);
$ddl->query_until(qr/over/, '');
wait_state($target, $job, 'failed|done');
failed_well($job, '42P01', qr/^the target table no longer exists$/,
	'target dropped', target_gone => 1, unordered => 1);

# A target that is dropped after the last chunk and before ANALYZE: the rows had been copied.
$source->safe_psql('postgres', q(CREATE TABLE public.single AS SELECT 1::bigint AS id, 1 AS amount, 'x'::text AS name));
new_target();
$workers = 1;
$job = start_at_gate(source_table => 'public.single');
$workers = 3;
send_ddl('BEGIN; DROP TABLE public.items');
open_gate($gatekeeper);
$ddl->query_until(qr/over/, '');
$target->poll_query_until('postgres',
	q(SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'relation' AND NOT granted))
  or die 'the coordinator does not come to the statistics';
$ddl->query('COMMIT');
is(wait_state($target, $job, 'failed|done|interrupted'), 'failed', 'target dropped before its statistics');
is($target->safe_psql('postgres', "SELECT sqlstate FROM fastcopy.status WHERE job = $job"), '55000', '... and so are the rows');
no_leftovers($source, $target, '... and');

new_target();
$job = start_at_gate();
send_ddl('ALTER TABLE public.items DROP COLUMN name');
open_gate($gatekeeper);
$ddl->query_until(qr/over/, '');
wait_state($target, $job, 'failed|done');
failed_well($job, '42703', qr/^column "name" of (?:target table|relation) "items" does not exist$/,
	'column of the target dropped', unordered => 1);

new_target();
$job = start_at_gate();
send_ddl('ALTER TABLE public.items ADD CONSTRAINT none_more CHECK (id < 0) NOT VALID');
open_gate($gatekeeper);
$ddl->query_until(qr/over/, '');
wait_state($target, $job, 'failed|done');
failed_well($job, '23514', qr/violates check constraint "none_more"$/,
	'constraint added to the target', unordered => 1);

# Rows travel in binary because the types were the same when the job was planned. The four bytes of an integer are
# also a valid real: the job must not interpret them as one.
new_target();
$job = start_at_gate();
is($target->safe_psql('postgres', "SELECT format FROM fastcopy.status WHERE job = $job"),
	'binary', 'type of a column changed: the format is binary');
send_ddl('ALTER TABLE public.items ALTER COLUMN amount TYPE real');
open_gate($gatekeeper);
$ddl->query_until(qr/over/, '');
my $state = wait_state($target, $job, 'failed|done');
is( $target->safe_psql('postgres',
		"SELECT count(*) FROM public.items WHERE id <> $bad AND amount IS DISTINCT FROM (2 * id)::real"),
	'0', 'type of a column changed: no value is misread');
if ($state eq 'failed')
{
	failed_well($job, '42804', qr/type/, 'type of a column changed', unordered => 1);
}
else
{
	$target->safe_psql('postgres', "SELECT fastcopy.forget($job)");
}

# Privileges are checked when they are needed. The role is not a superuser, so it gives a password.
add_scram_role($source, 'scram', 'SUPERUSER');
my $with_password = conninfo($source, user => 'scram', password => 'sesame');
$target->safe_psql('postgres', q(
CREATE ROLE loader LOGIN;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO loader;
));
new_target($definition, 'GRANT INSERT ON public.items TO loader');
$job = start_at_gate(user => 'loader', source => $with_password);
$target->safe_psql('postgres', 'REVOKE INSERT ON public.items FROM loader');
open_gate($gatekeeper);
wait_state($target, $job, 'failed|done');
failed_well($job, '42501', qr/^permission denied for table items$/, 'INSERT revoked', unordered => 1);

new_target($definition, 'GRANT INSERT ON public.items TO loader');
$job = start_at_gate(user => 'loader', source => $with_password);
send_ddl('ALTER TABLE public.items ENABLE ROW LEVEL SECURITY');
open_gate($gatekeeper);
$ddl->query_until(qr/over/, '');
wait_state($target, $job, 'failed|done');
failed_well($job, '0A000', qr/row-level security/, 'row security enabled', unordered => 1);

# One worker fails while the others wait for a silent source: they exit too, and soon.
new_target();
hold_gate($gatekeeper);
$job = $target->safe_psql('postgres', call('start',
	filter => "CASE WHEN id = 9000 THEN 1 / (id - 9000) = 0 WHEN id < 9000 THEN public.gate(id) ELSE true END"));
wait_at_gate($source, $workers)
  or die 'workers did not come to the gate';
$target->safe_psql('postgres', "SELECT fastcopy.set_workers($job, @{[ $workers + 12 ]})");
my $seconds = seconds_until(
	sub {
		$target->safe_psql('postgres', "SELECT state FROM fastcopy.status WHERE job = $job") eq 'failed';
	});
note sprintf 'one worker failed and the others were silent: the job ended after %.2f s', $seconds // -1;
$workers += 12;
failed_well($job, '22012', qr/^division by zero$/, 'failure while others are silent', unordered => 1);
$workers -= 12;
open_gate($gatekeeper);

# A lost source must not be mistaken for the end of the rows. A worker that loses its session reconnects, and its
# chunk is copied once; without retries the job fails.
for my $limit (5, 0)
{
	new_target();
	$job = start_at_gate(settings => "SET fastcopy.retry_limit = $limit; SET fastcopy.retry_delay = '50ms'");
	$source->safe_psql('postgres', q(
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE application_name LIKE 'fastcopy job % chunk %' LIMIT 1));
	if ($limit == 0)
	{
		wait_state($target, $job, 'failed|done');
		open_gate($gatekeeper);
		failed_well($job, '57P01', qr/^terminating connection due to administrator command$/,
			'session of a worker terminated on the source, no retries', unordered => 1);
		next;
	}
	$target->poll_query_until('postgres', "SELECT sum(retries) = 1 FROM fastcopy.workers WHERE job = $job")
	  or die 'the worker did not retry';
	wait_at_gate($source, $workers)
	  or die 'the worker did not come back to the gate';
	open_gate($gatekeeper);
	is(wait_state($target, $job, 'failed|done'), 'done', 'session of a worker terminated on the source: retried');
	is(table_digest($target, 'public.items'), table_digest($source, 'public.items'), '... and each row is copied once');
	is($target->safe_psql('postgres', "SELECT sum(retries) FROM fastcopy.chunks WHERE job = $job"), '1',
		'... and the retry is in the ledger');
	no_leftovers($source, $target, '... and');
}

new_target();
$job = start_at_gate();
$source->safe_psql('postgres', q(
SELECT pg_cancel_backend(pid) FROM pg_stat_activity
WHERE application_name LIKE 'fastcopy job % chunk %' LIMIT 1));
wait_state($target, $job, 'failed|done|cancelled');
open_gate($gatekeeper);
failed_well($job, '57014', qr/^canceling statement due to user request$/,
	'statement of a worker canceled on the source', unordered => 1);

# The coordinator's session only holds the snapshot. When it is lost, the coordinator takes the snapshot over from a
# worker: rows that were inserted or deleted meanwhile do not matter.
for my $limit (5, 0)
{
	new_target();
	$job = start_at_gate(settings => "SET fastcopy.retry_limit = $limit; SET fastcopy.retry_delay = '50ms'");
	my $before = table_digest($source, 'public.items');
	$source->safe_psql('postgres', q(
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE application_name LIKE 'fastcopy job % coordinator'));
	if ($limit == 0)
	{
		wait_state($target, $job, 'failed|done');
		open_gate($gatekeeper);
		failed_well($job, '57P01', qr/^terminating connection due to administrator command$/,
			'session of the coordinator terminated on the source, no retries', chunk => 0);
		next;
	}
	$source->safe_psql('postgres', q(INSERT INTO public.items SELECT -i, i, 'after the snapshot' FROM generate_series(1, 500) i));
	$target->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'fastcopy coordinator'")
	  or die 'the coordinator is gone';
	open_gate($gatekeeper);
	is(wait_state($target, $job, 'failed|done'), 'done', 'session of the coordinator terminated on the source: recovered');
	is(table_digest($target, 'public.items'), $before, '... by the same snapshot');
	like(slurp_file($source->logfile), qr/fastcopy job $job coordinator LOG:  statement: SET TRANSACTION SNAPSHOT/,
		'... which the coordinator took over from a worker');
	$source->safe_psql('postgres', 'DELETE FROM public.items WHERE id < 0');
	no_leftovers($source, $target, '... and');
}

# A worker that connects to the source again after the coordinator's session there has ended, but before the coordinator
# has noticed, finds no such snapshot. That is a transient error: another worker still has the snapshot. The coordinator
# is stopped by a signal, so that it notices nothing before it is allowed to.
my $stopped;
END
{
	my $status = $?;
	kill 'CONT', $stopped if $stopped;
	$? = $status;
}
new_target();
my $rows_before = table_digest($source, 'public.items');
my $log_before  = -s $source->logfile;
$job     = start_at_gate(settings => "SET fastcopy.retry_delay = '10ms'; SET fastcopy.retry_limit = 1");
$stopped = $target->safe_psql('postgres', q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'fastcopy coordinator'));
kill 'STOP', $stopped;
$source->safe_psql('postgres', q(
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name LIKE 'fastcopy job % coordinator'));
$source->safe_psql('postgres', q(
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name LIKE 'fastcopy job % chunk %' LIMIT 1));

# The first retry finds no snapshot. From then on the worker waits for one without retrying: one more retry would fail the
# job.
ok(defined seconds_until(sub {
		slurp_file($source->logfile, $log_before) =~ /ERROR:  (?:invalid snapshot identifier|snapshot .* does not exist)/ }),
	'the snapshot no longer exists on the source');
$target->poll_query_until('postgres', qq(
	SELECT wait_event = 'Extension' FROM pg_stat_activity a JOIN fastcopy.workers w USING (pid) WHERE w.job = $job AND w.retries > 0))
  or die 'the worker does not wait';
is($target->safe_psql('postgres', "SELECT count(*), sum(retries) FROM fastcopy.workers WHERE job = $job"),
	"$workers|1", 'the worker waits for the snapshot');

# Rows that are inserted now show which snapshot is read.
$source->safe_psql('postgres', q(INSERT INTO public.items SELECT -g, g, 'late' FROM generate_series(1, 500) g));
kill 'CONT', $stopped;
$stopped = undef;
open_gate($gatekeeper);
is(wait_state($target, $job, 'failed|done'), 'done', 'a snapshot that is lost for a moment: the job is done');
is(table_digest($target, 'public.items'), $rows_before, '... under the snapshot that it began with');

# The same while resume() counts rows: nobody takes the snapshot over at that point.
$source->safe_psql('postgres', 'DELETE FROM public.items WHERE id < 0');
new_target(undef, 'ALTER TABLE public.items ADD CONSTRAINT few CHECK (id < 15000)');
$job = $target->safe_psql('postgres', call('start', workers => 2, filter => 'public.gate(id)'));
is(wait_state($target, $job, 'failed|done'), 'failed', 'a job fails in the middle');
$target->safe_psql('postgres', 'ALTER TABLE public.items DROP CONSTRAINT few');
$source->safe_psql('postgres', 'SELECT txid_current()');
hold_gate($gatekeeper);
my $resumer = $target->background_psql('postgres', on_error_stop => 0);
$resumer->query_until(qr/sent/, "\\echo sent\nSELECT fastcopy.resume($job);\n\\echo over\n");
wait_at_gate($source, 2) or die 'workers did not come to the gate';
$source->safe_psql('postgres', q(SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name LIKE 'fastcopy job %'));
$resumer->query_until(qr/over/, '');
like($resumer->{stderr}, qr/lost the connection to the source server/, 'a resume() that loses all its connections raises an error');
open_gate($gatekeeper);
$resumer->quit;
is($target->safe_psql('postgres', "SELECT fastcopy.resume($job); SELECT fastcopy.wait($job)"), "$job\ndone", '... and works when it is called again');
is(table_digest($target, 'public.items'), $rows_before, '... with each row once');
no_leftovers($source, $target, 'snapshots lost');

new_target();
$job = start_at_gate();
$source->stop('immediate');
quit_quietly($gatekeeper);
wait_state($target, $job, 'failed|done');
$source->start;
$state = $target->safe_psql('postgres', "SELECT sqlstate FROM fastcopy.status WHERE job = $job");
like($state, qr/^(?:57P0[12]|08006)$/, "source stopped: the SQLSTATE is $state");
failed_well($job, $state, qr/./, 'source stopped', unordered => 1, chunk => 0);

$ddl->quit;
done_testing();
