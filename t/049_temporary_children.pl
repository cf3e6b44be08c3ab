# Inheritance children that are temporary tables of other sessions. No other session can read or write them: a SELECT
# from the parent leaves them out, and so do INSERT, TRUNCATE and ANALYZE. Copies and comparisons do the same, on
# either side, and nothing fails when such a child is dropped.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyGate;
use FastcopyTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair();

$source->safe_psql('postgres', q(
CREATE TABLE public.items (id bigint, name text);
CREATE TABLE public.more () INHERITS (public.items);
INSERT INTO public.items SELECT g, 'name ' || g FROM generate_series(1, 2000) g;
INSERT INTO public.more SELECT g, 'more ' || g FROM generate_series(2001, 3000) g));

# A session that has a temporary child with rows of its own.
sub with_child
{
	my ($node) = @_;
	my $session = $node->background_psql('postgres');
	$session->query_safe('CREATE TEMP TABLE mine (CHECK (id < 0)) INHERITS (public.items)');
	$session->query_safe('INSERT INTO mine SELECT -g, $$mine$$ FROM generate_series(1, 500) g');
	$session->query_safe('CREATE INDEX ON mine (id)');
	return $session;
}

sub make_target
{
	$target->safe_psql('postgres', q(
		DROP TABLE IF EXISTS public.items CASCADE;
		CREATE TABLE public.items (id bigint, name text);
		CREATE TABLE public.more () INHERITS (public.items);
		CREATE INDEX ON public.items (id);
		INSERT INTO public.more VALUES (-1000, 'old')));
	return;
}

sub call
{
	my ($function, %arguments) = @_;
	return "SET fastcopy.chunk_size = '8kB'; SELECT " . call_sql($function, $source, %arguments);
}

my $differences = 'SELECT count(*) FILTER (WHERE differs), max(source_rows), max(target_rows) FROM ' . call_sql('compare', $source);
make_target();
my $there = with_child($source);
my $here  = with_child($target);
is(table_digest($source, 'public.items'), table_digest($source, q((SELECT * FROM ONLY public.items UNION ALL TABLE public.more))),
	'a SELECT by others leaves the child out');

for my $case ([ 'keep', 1 ], [ 'keep', 4 ], [ 'rebuild', 2 ])
{
	my ($indexes, $workers) = @$case;
	my ($status, $stdout, $stderr) = run_verbose($target,
		call('copy', workers => $workers, truncate => 'true', indexes => $indexes));
	is($stdout, '3000', "indexes => $indexes, $workers workers: copy() returns the rows that a SELECT shows") or diag $stderr;
	is(table_digest($target, 'public.items'), table_digest($source, 'public.items'), 'they are in the target');
	is($target->safe_psql('postgres', 'SELECT count(*) FROM ONLY public.items'), '3000', 'as an INSERT by the name would put them');
	($status, $stdout, $stderr) = run_verbose($target, $differences);
	is($stdout, '0|3000|3000', 'compare() leaves the children out too') or diag $stderr;
}
is($here->query_safe('SELECT count(*) FROM mine'), '500', 'the child on the target has its rows');
is($here->query_safe(q(SELECT bool_and(indisvalid AND indisready) FROM pg_index WHERE indrelid = 'mine'::regclass)), 't',
	'and its index');
no_leftovers($source, $target, 'after copies');

# With a key, too.
$source->safe_psql('postgres', 'CREATE INDEX ON public.items (id); CREATE INDEX ON public.more (id); ANALYZE public.items, public.more');
my ($status, $stdout, $stderr) = run_verbose($target, call('copy', truncate => 'true', key => 'id'));
is($stdout, '3000', 'split by a key') or diag $stderr;
is(table_digest($target, 'public.items'), table_digest($source, 'public.items'), 'the rows are in the target');
($status, $stdout, $stderr) = run_verbose($target, $differences =~ s/\)$/, key => 'id')/r);
is($stdout, '0|3000|3000', 'compare() by the key') or diag $stderr;

# Children that are created or dropped between a job's end and its resumption do not matter.
sub cancelled_job
{
	add_hold($target);
	$target->safe_psql('postgres', q(
		CREATE TRIGGER hold BEFORE INSERT ON public.items FOR EACH ROW WHEN (NEW.id = 1500) EXECUTE FUNCTION public.hold()));
	my $gatekeeper = $target->background_psql('postgres');
	hold_gate($gatekeeper);
	my $job = $target->safe_psql('postgres', call('start', workers => 1));
	wait_at_gate($target, 1)
	  or die 'the job does not wait';
	$target->safe_psql('postgres', "SELECT fastcopy.cancel($job)");
	wait_state($target, $job, 'cancelled');
	$gatekeeper->quit;
	return $job;
}

sub resumes
{
	my ($job, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	# A transaction has run on the source, so that resume counts rows.
	$source->safe_psql('postgres', 'CREATE TABLE IF NOT EXISTS public.elsewhere (i int); INSERT INTO public.elsewhere VALUES (1)');
	my ($status, $stdout, $stderr) = run_verbose($target, "SELECT fastcopy.resume($job); SELECT fastcopy.wait($job)");
	is($stdout, "$job\ndone", "$name: the job is resumed") or diag $stderr;
	is($target->safe_psql('postgres', 'SELECT count(*), count(DISTINCT id) FROM public.items WHERE id > 0'), '3000|3000',
		"$name: each row is there once");
	return;
}

$_->quit for $here, $there;
for my $node ($source, $target)
{
	my $name = $node == $source ? 'source' : 'target';
	make_target();
	my $session = with_child($node);
	my $job     = cancelled_job();
	$session->quit;
	resumes($job, "a child on the $name has gone");

	make_target();
	$job     = cancelled_job();
	$session = with_child($node);
	resumes($job, "a child on the $name has come");
	$session->quit;
}
no_leftovers($source, $target, 'after resumed jobs');
done_testing();
