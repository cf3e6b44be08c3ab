# A copy spares the shared buffers of the target: each worker uses one ring of buffers, whatever its number of chunks,
# so that a table of twice the size of shared_buffers does not evict a table in use.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $buffers = 2048;           # 16 MB
my $ring    = $buffers / 8;
my ($source, $target) = start_pair(target_conf => "shared_buffers = 16MB\nlog_min_messages = debug1\nbgwriter_lru_maxpages = 0\n");
if (!$target->safe_psql('postgres', q(SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_buffercache')))
{
	plan skip_all => 'pg_buffercache is not installed';
}
my $conninfo = conninfo($source);

# ANALYZE has a ring of its own, which is larger from version 17 on.
if (major_version($target) >= 16)
{
	$target->safe_psql('postgres', "ALTER SYSTEM SET vacuum_buffer_usage_limit = '256kB'");
	$target->reload;
}

# 4600 pages of seven rows: 36 MB.
$source->safe_psql('postgres', q(CREATE TABLE t (a integer, b text);
	INSERT INTO t SELECT i, rpad(md5(i::text), 1000, 'x') FROM generate_series(1, 32200) i));
cmp_ok($source->safe_psql('postgres', q(SELECT pg_relation_size('t') / 8192)), '>=', 2 * $buffers, 'the table is twice as large as shared_buffers');

$target->safe_psql('postgres', q(CREATE EXTENSION pg_buffercache; CREATE TABLE t (a integer, b text);
	CREATE TABLE hot (a integer, b text); ALTER TABLE t SET (autovacuum_enabled = off);
	INSERT INTO hot SELECT i, rpad('', 1000, 'x') FROM generate_series(1, 4200) i;
	CREATE TABLE parts (a integer, b text) PARTITION BY HASH (a);)
	  . join '', map { "CREATE TABLE parts_$_ PARTITION OF parts FOR VALUES WITH (MODULUS 3, REMAINDER $_);" } 0 .. 2);

sub buffers_of
{
	my ($tables, $condition) = @_;
	return $target->safe_psql('postgres', "SELECT count(*) FROM pg_buffercache b, pg_class c WHERE b.relfilenode = pg_relation_filenode(c.oid)
		AND b.reldatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) AND b.relforknumber = 0 AND c.relname ~ '^$tables\$' AND $condition");
}

my $hot_pages = $target->safe_psql('postgres', q(SELECT pg_relation_size('hot') / 8192));

# Copies in chunks of a sixteenth of a ring, or of the default size.
sub copies_kindly
{
	my ($name, $table, $leaves, $workers, $limit, %settings) = @_;
	my $set = join '', map { "SET $_ = '$settings{$_}';" } sort keys %settings;
	# Each of its buffers has been used twice, so it survives one round of the clock sweep.
	$target->safe_psql('postgres', "TRUNCATE $table; CHECKPOINT; SELECT count(b) FROM hot; SELECT count(b) FROM hot");
	is(buffers_of('hot', 'true'), $hot_pages, "$name: the hot table is in the buffers");
	my $offset = -s $target->logfile;
	is($target->safe_psql('postgres', "$set SELECT fastcopy.copy('$conninfo', 't', '$table', $workers)"), '32200', "$name: copied");
	my $all   = buffers_of($leaves, 'true');
	my $dirty = buffers_of($leaves, 'isdirty');
	cmp_ok($all, '<=', $limit + 64, "$name: $all buffers of the table, $dirty of them dirty");
	is(buffers_of('hot', 'true'), $hot_pages, "$name: the hot table is in the buffers still");
	return slurp_file($target->logfile, $offset);
}

my $chunks = 'fastcopy.chunk_size';
copies_kindly('one worker', 't', 't', 1, $ring, $chunks => '128kB');
cmp_ok($target->safe_psql('postgres', 'SELECT count(*) FROM fastcopy.chunks'), '>', 100, 'in many chunks');
copies_kindly('two workers', 't', 't', 2, 2 * $ring, $chunks => '128kB');
copies_kindly('default chunks', 't', 't', 2, 2 * $ring);
copies_kindly('partitions', 'parts', 'parts_.', 1, $ring, $chunks => '128kB');

# COPY FROM makes a ring for each chunk, so there are fewer chunks.
is($target->safe_psql('postgres', "TRUNCATE t; SELECT fastcopy.copy('$conninfo', 't', 't', 1); SELECT count(*) FROM fastcopy.chunks c
	WHERE job = (SELECT max(job) FROM fastcopy.status)"), "32200\n5", 'chunks for the fast path');
is($target->safe_psql('postgres', "TRUNCATE t; CREATE TRIGGER same BEFORE UPDATE OR INSERT ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
	ALTER TABLE t DISABLE TRIGGER same; SELECT fastcopy.copy('$conninfo', 't', 't', 1); DROP TRIGGER same ON t;
	SELECT count(*) FROM fastcopy.chunks c WHERE job = (SELECT max(job) FROM fastcopy.status)"), "32200\n2", 'chunks for COPY FROM');

# Chunks that fail in the middle and are retried leave no buffer pinned, and the worker keeps its ring: the check of
# each thousandth row fails once, with a transient error.
$target->safe_psql('postgres', q(TRUNCATE t; CREATE SEQUENCE tries;
	CREATE FUNCTION may_fail(a integer) RETURNS boolean LANGUAGE plpgsql AS
	$$BEGIN
		IF a % 1000 = 999 AND pg_catalog.nextval('public.tries') % 2 = 1 THEN
			RAISE EXCEPTION 'deadlock' USING ERRCODE = 'deadlock_detected';
		END IF;
		RETURN true;
	END$$;
	ALTER TABLE t ADD CHECK (may_fail(a))));
my $log = copies_kindly('retries', 't', 't', 1, $ring, $chunks => '128kB', 'fastcopy.retry_delay' => '1ms');
my $retries = () = $log =~ /will retry chunk/g;
cmp_ok($retries, '>=', 10, "retries: $retries");
unlike($log, qr/WARNING|leak/, 'retries: nothing was left pinned');
is($target->safe_psql('postgres', 'SELECT count(*), sum(a) FROM t'), '32200|518436100', 'retries: each row once');

no_leftovers($source, $target, 'at the end');
done_testing();
