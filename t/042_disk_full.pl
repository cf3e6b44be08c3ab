# A target without free disk space or memory: the job fails with PostgreSQL's own error, the server keeps running,
# nothing is left behind, and once there is space again resume ends the job with every row once.
#
# The disk is a tablespace on a file system of a few MB, which this test mounts in a namespace of its own; a filler
# table fills it. Memory is short because the postmaster's limit on its address space, which new processes inherit, is
# set to little more than it uses.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyNamespace '--mount';
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair();
my $conninfo = conninfo($source);

$source->safe_psql('postgres', q(
CREATE TABLE public.items (id bigint, name text);
INSERT INTO public.items SELECT g, repeat('name ', 10) || g FROM generate_series(1, 50000) g;
CREATE TABLE public.large (id bigint, body text);
INSERT INTO public.large SELECT g, 'small ' || g FROM generate_series(1, 2000) g;
INSERT INTO public.large SELECT 0, repeat('0123456789', 6000000);
INSERT INTO public.large SELECT g, 'small ' || g FROM generate_series(2001, 4000) g;
));

# Waits until a job fails, and asserts the error and that the target has the rows of the done chunks.
sub fails
{
	my ($job, $table, $sqlstate, $message, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(wait_state($target, $job, 'failed|done'), 'failed', "$name: the job fails");
	my ($got, $error) = split /\|/,
	  $target->safe_psql('postgres', "SELECT sqlstate, error FROM fastcopy.status WHERE job = $job"), 2;
	is($got, $sqlstate, "$name: the SQLSTATE");
	like($error, $message, "$name: the message");
	my ($done, $rows) = split /\|/, $target->safe_psql('postgres',
		"SELECT count(*), coalesce(sum(rows), 0) FROM fastcopy.chunks WHERE job = $job AND state = 'done'");
	cmp_ok($done, '>', 0, "$name: some chunks are done");
	is($target->safe_psql('postgres', "SELECT count(*) FROM public.$table"),
		$rows, "$name: the target has the rows of those, and no other");
	no_leftovers($source, $target, $name);
	return;
}

sub resume
{
	my ($job, $table, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($target->safe_psql('postgres', "SELECT fastcopy.resume($job)"), $job, "$name: resume");
	is(wait_state($target, $job, 'failed|done'), 'done', "$name: the job is done");
	is(table_digest($target, "public.$table"), table_digest($source, "public.$table"), "$name: each row is there once");
	no_leftovers($source, $target, "$name, resumed");
	return;
}

my $postmaster = $target->{_pid};

SKIP:
{
	skip 'this machine does not let us mount a file system', 20 unless FastcopyNamespace::possible();
	my $disk = PostgreSQL::Test::Utils::tempdir('small_disk');
	system_or_bail('mount', '-t', 'tmpfs', '-o', 'size=16m,mode=700', 'none', $disk);
	$target->safe_psql('postgres', "CREATE TABLESPACE small_disk LOCATION '$disk'");

	# With 1 worker and with 3; with an index that needs room too.
	for my $workers (1, 3)
	{
		my $name = "disk full, $workers worker" . ($workers > 1 ? 's' : '');
		$target->safe_psql('postgres', q(
			CREATE TABLE public.items (id bigint, name text) TABLESPACE small_disk;
			CREATE INDEX ON public.items (id) TABLESPACE small_disk;
			CREATE TABLE public.filler (a text) TABLESPACE small_disk;
			ALTER TABLE public.filler ALTER COLUMN a SET STORAGE PLAIN));
		$target->safe_psql('postgres', q(
			INSERT INTO public.filler SELECT repeat('x', 8000) FROM generate_series(1, 1750)));
		my $job = $target->safe_psql('postgres', "SET fastcopy.chunk_size = '128kB';
			SELECT fastcopy.start('$conninfo', 'public.items', 'public.items', $workers)");
		fails($job, 'items', '53100', qr/^could not (?:extend|write).*No space left on device/, $name);

		# While there is no space, a resumed job fails again.
		$target->safe_psql('postgres', "SELECT fastcopy.resume($job)");
		fails($job, 'items', '53100', qr/^could not (?:extend|write).*No space left on device/, "$name, resumed too soon");

		$target->safe_psql('postgres', 'DROP TABLE public.filler');
		resume($job, 'items', $name);
		$target->safe_psql('postgres', "DROP TABLE public.items; SELECT fastcopy.forget($job); CHECKPOINT");
	}
}

SKIP:
{
	my $name = 'out of memory';
	skip 'there is no prlimit', 9 if system('prlimit --version >/dev/null 2>&1') != 0;
	skip 'the limit would be that of the tool that watches the server', 9
	  if slurp_file("/proc/$postmaster/maps") =~ /libasan|vgpreload/;
	my ($pages) = split ' ', slurp_file("/proc/$postmaster/statm");
	my $limit = $pages * 4096 + 150 * 1024 * 1024;

	$target->safe_psql('postgres', 'CREATE TABLE public.large (id bigint, body text)');
	system_or_bail('prlimit', '--pid', $postmaster, "--as=$limit:");
	my $job = $target->safe_psql('postgres', "SET fastcopy.chunk_size = '32kB';
		SELECT fastcopy.start('$conninfo', 'public.large', 'public.large', 1)");
	fails($job, 'large', '53200', qr/^out of memory$/, $name);
	system_or_bail('prlimit', '--pid', $postmaster, '--as=unlimited:');
	resume($job, 'large', $name);
}

my $log = slurp_file($target->logfile);
is(join("\n", $log =~ /^(.*(?:terminated by signal|PANIC: |TRAP: ).*)$/mg), '', 'no process has crashed');

done_testing();
