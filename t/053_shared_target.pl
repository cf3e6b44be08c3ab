# A target that others use during a job: other jobs, TRUNCATE, a new partition that is truncated, a dropped index, a
# role without privileges. In every case a job that ends done has each row stored once.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyGate;
use FastcopyTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair(target_conf => "log_line_prefix = '%p %b '\nlog_error_verbosity = default\n");
my $rows = 4000;

$source->safe_psql('postgres', qq(
CREATE TABLE public.items (id bigint, name text);
INSERT INTO public.items SELECT g, 'name ' || g FROM generate_series(1, $rows) g;
CREATE FUNCTION public.gate(id bigint) RETURNS boolean LANGUAGE plpgsql AS
'BEGIN
	IF id = 2000 THEN PERFORM pg_catalog.pg_advisory_xact_lock_shared(1); END IF;
	RETURN true;
END'));
my $expected   = table_digest($source, 'public.items');
my $gatekeeper = $source->background_psql('postgres');

sub new_target
{
	my ($sql) = @_;
	$target->safe_psql('postgres', q(SET client_min_messages = 'warning'; DROP TABLE IF EXISTS public.items CASCADE;)
		. ($sql // 'CREATE TABLE public.items (id bigint, name text)'));
	return;
}

# Starts a job of one worker that stops in the middle of its chunks, some of which are then done.
sub start_half
{
	my (%arguments) = @_;
	hold_gate($gatekeeper);
	my $job = $target->safe_psql('postgres', q(SET fastcopy.chunk_size = '8kB'; SELECT )
		. call_sql('start', $source, workers => 1, filter => 'public.gate(id)', %arguments));
	wait_at_gate($source, 1) or die 'no worker came to the gate';
	return $job;
}

# Releases the lock however often the session has taken it.
sub release { $gatekeeper->query_safe('SELECT pg_advisory_unlock_all()'); return }

# Two jobs.
for my $first ({}, { truncate => \'true' }, { indexes => 'rebuild' })
{
	for my $second ({ truncate => \'true' }, { indexes => 'rebuild' }, {})
	{
		next unless %$first || %$second;
		my $name = join ' and ', map { join(' ', keys %$_) || 'plain' } $first, $second;
		new_target();
		my $job = start_half(%$first);
		fails_with($target, 'SELECT ' . call_sql('start', $source, workers => 1, %$second),
			'55006', qr/^public\.items is the target of fastcopy job $job$/, "two jobs, $name: the second is refused",
			hint => qr/cancel it/);
		release();
		is(wait_state($target, $job, 'done|failed'), 'done', "two jobs, $name: the first is done");
		is(table_digest($target, 'public.items'), $expected, "two jobs, $name: each row is there once");
	}
}
{
	new_target();
	my $job   = start_half();
	my $other = $target->safe_psql('postgres', 'SELECT ' . call_sql('copy', $source, workers => 1));
	is($other, $rows, 'two jobs that neither truncate nor rebuild share a target');
	release();
	is(wait_state($target, $job, 'done|failed'), 'done', '... and both are done');
	is($target->safe_psql('postgres', 'SELECT count(*), count(DISTINCT id) FROM public.items'), 2 * $rows . "|$rows", '... with the rows of both');
}

# Partitions of the target belong to it, and so does the table that it is a partition of.
{
	new_target(q(CREATE TABLE public.items (id bigint, name text) PARTITION BY RANGE (id);
		CREATE TABLE public.items_1 PARTITION OF public.items FOR VALUES FROM (1) TO (10000)));
	my $job = start_half();
	fails_with($target, 'SELECT ' . call_sql('start', $source, target_table => 'public.items_1', truncate => \'true'),
		'55006', qr/is the target of fastcopy job $job$/, 'a job that truncates a partition of another target is refused');
	release();
	wait_state($target, $job, 'done');
	$job = start_half(target_table => 'public.items_1');
	fails_with($target, 'SELECT ' . call_sql('start', $source, truncate => \'true'),
		'55006', qr/is the target of fastcopy job $job$/, 'so is one that truncates the parent');
	release();
	wait_state($target, $job, 'done');
}

# What others do between chunks.
sub disturbed
{
	my ($name, $table, $sql, $sqlstate) = @_;
	new_target($table);
	my $job = start_half();
	$target->safe_psql('postgres', $sql) if $sql !~ /public\.items[; ]*$/;
	my $session = $target->background_psql('postgres', on_error_stop => 0);
	$session->query_until(qr/sent/, "\\echo sent\n$sql;\n\\echo over\n") if $sql =~ /public\.items[; ]*$/;
	$target->poll_query_until('postgres', q(SELECT count(*) > 0 FROM pg_locks WHERE NOT granted))
	  if $sql =~ /public\.items[; ]*$/;
	release();
	is(wait_state($target, $job, 'done|failed'), 'failed', "$name: the job fails");
	is($target->safe_psql('postgres', "SELECT sqlstate FROM fastcopy.status WHERE job = $job"), $sqlstate, '... and says why');
	$session->quit;
	fails_with($target, "SELECT fastcopy.resume($job)", $sqlstate, qr/may have lost rows/, '... and again when it is resumed');
	return;
}
disturbed('TRUNCATE',       undef, 'TRUNCATE public.items',    '55000');
disturbed('VACUUM FULL',    undef, 'VACUUM FULL public.items', '55000');
disturbed('TRUNCATE of a partition that has its rows',
	q(CREATE TABLE public.items (id bigint, name text) PARTITION BY RANGE (id);
		CREATE TABLE public.items_1 PARTITION OF public.items FOR VALUES FROM (1) TO (1000);
		CREATE TABLE public.items_2 PARTITION OF public.items FOR VALUES FROM (1000) TO (10000)),
	'TRUNCATE public.items_1;', '55000');

# The source is the target.
for my $how ({ truncate => \'true' }, { indexes => 'rebuild' })
{
	my ($argument) = keys %$how;
	new_target('CREATE TABLE public.items (id bigint PRIMARY KEY, name text); INSERT INTO public.items VALUES (1, 1)');
	fails_with($target, 'SELECT ' . call_sql('start', $target, %$how), '55006',
		qr/it is the source of the copy$/, "$argument of a table that is its own source is refused");
	is($target->safe_psql('postgres', 'SELECT count(*) FROM public.items'), '1', '... and loses nothing');
}

# A role without TRUNCATE on the table does not lock it either.
{
	new_target();
	add_scram_role($source, 'reader', 'SUPERUSER');
	$target->safe_psql('postgres', q(CREATE ROLE loader LOGIN;
		GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO loader; GRANT INSERT, SELECT ON public.items TO loader));
	my $holder = $target->background_psql('postgres');
	$holder->query_safe('BEGIN; SELECT count(*) FROM public.items');
	for my $how ({ truncate => \'true' }, { indexes => 'rebuild' })
	{
		my ($argument) = keys %$how;
		$target->safe_psql('postgres', 'CREATE INDEX IF NOT EXISTS items_id ON public.items (id)') if $argument eq 'indexes';
		# If the lock were requested first, this would wait for the reader.
		fails_with($target, 'SELECT ' . call_sql('start', $source, %$how,
				source => conninfo($source, user => 'reader', password => 'sesame')),
			'42501', qr/^(?:permission denied for|must be owner of) table items$/, "$argument without the right waits for nobody",
			user => 'loader');
	}
	$holder->quit;
}

# Two jobs truncate at the same time: one is rejected, and neither is chosen as the victim of a deadlock.
for my $round (1 .. 5)
{
	new_target();
	my @sessions = map { $target->background_psql('postgres', on_error_stop => 0) } 1 .. 2;
	$_->query_until(qr/sent/, "\\echo sent\nSELECT " . call_sql('copy', $source, truncate => \'true') . ";\n\\echo over\n")
	  for @sessions;
	$_->query_until(qr/over/, '') for @sessions;
	my @errors = grep { /ERROR/ } map { $_->{stderr} } @sessions;
	ok(!(grep { !/is the target of fastcopy job/ } @errors), "two that truncate, round $round: no deadlock") or diag @errors;
	is(table_digest($target, 'public.items'), $expected, '... and each row is stored once');
	$_->quit for @sessions;
}

# An index that is dropped before it is rebuilt.
{
	new_target(q(CREATE TABLE public.items (id bigint, name text);
		CREATE INDEX one ON public.items (id); CREATE INDEX two ON public.items (name)));
	my $job = start_half(indexes => 'rebuild');
	my $session = $target->background_psql('postgres');
	$session->query_until(qr/sent/, "\\echo sent\nDROP INDEX public.one;\n\\echo over\n");
	release();
	is(wait_state($target, $job, 'done|failed'), 'done', 'an index that was dropped meanwhile needs no building');
	$session->query_until(qr/over/, '');
	$session->quit;
	is($target->safe_psql('postgres', q(SELECT bool_and(indisvalid) FROM pg_index WHERE indrelid = 'public.items'::regclass)),
		't', '... and the others are built');
}

# Log lines of the coordinator show its statement while it runs.
{
	new_target();
	my $job = start_half();
	my $pid = $target->safe_psql('postgres', q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'fastcopy coordinator'));
	$target->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 10000)");
	release();
	like(slurp_file($target->logfile), qr/^$pid fastcopy coordinator STATEMENT:  copying public\.items$/m, 'the statement in the log is whole');
}

$gatekeeper->quit;
unlike(slurp_file($target->logfile), qr/terminated by signal|TRAP: /, 'no process has crashed');
no_leftovers($source, $target, 'at the end');
done_testing();
