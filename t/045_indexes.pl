# indexes => 'rebuild': the target's indexes are set aside while rows are loaded, and rebuilt afterwards. No index is
# ever lost, however the job ends, and all of its properties are kept.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair(source_conf => "wal_level = logical\n", target_conf => "wal_level = logical\n");
my $conninfo = conninfo($source);

$source->safe_psql('postgres', q(
	CREATE TABLE t (id bigint PRIMARY KEY, code int, name text, span int4range, at date NOT NULL);
	INSERT INTO t SELECT n, n, 'name ' || n, int4range(n, n + 1), date '2024-01-01' + (n % 300)::int FROM generate_series(1, 5000) n;
	CREATE TABLE doubles (LIKE t);
	INSERT INTO doubles TABLE t;
	INSERT INTO doubles SELECT * FROM t WHERE id = 77;
));

# A table with every kind of index, and with all objects that can depend on one.
$target->safe_psql('postgres', q(
	CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF EXISTS (SELECT FROM public.control WHERE stop_at = NEW.id) THEN
			PERFORM pg_advisory_xact_lock_shared(42);
		END IF;
		RETURN NEW;
	END $$;
	CREATE FUNCTION slow(bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS $$
	BEGIN
		IF $1 = (SELECT build_at FROM public.control) THEN
			PERFORM pg_advisory_xact_lock_shared(43);
		END IF;
		RETURN $1;
	END $$;
	CREATE TABLE control (stop_at bigint, build_at bigint);
));

# Version 15 introduced NULLS NOT DISTINCT.
my $not_distinct = major_version($target) < 15 ? '' : 'NULLS NOT DISTINCT';
sub make_target
{
	$target->safe_psql('postgres', qq(
		DROP TABLE IF EXISTS refers, t CASCADE;
		CREATE TABLE t (id bigint, code int, name text, span int4range, at date NOT NULL,
			CONSTRAINT "the key" PRIMARY KEY (id),
			CONSTRAINT code_key UNIQUE (code) DEFERRABLE INITIALLY DEFERRED,
			CONSTRAINT name_key UNIQUE $not_distinct (name, id) INCLUDE (at),
			CONSTRAINT no_overlap EXCLUDE USING gist (span WITH &&));
		CREATE INDEX plain ON t (at DESC NULLS LAST, lower(name) text_pattern_ops) WITH (fillfactor = 70);
		CREATE INDEX expression ON t ((slow(id)), (id + 1));
		ALTER INDEX expression ALTER COLUMN 2 SET STATISTICS 500;
		CREATE INDEX partial ON t USING brin (id) WHERE code > 100;
		CREATE INDEX hashed ON t USING hash (name);
		COMMENT ON INDEX plain IS 'a comment';
		COMMENT ON CONSTRAINT code_key ON t IS 'another';
		ALTER TABLE t CLUSTER ON plain;
		CREATE UNIQUE INDEX identity ON t (at, id);
		ALTER TABLE t REPLICA IDENTITY USING INDEX identity;
		CREATE TABLE refers (id bigint REFERENCES t);
		CREATE VIEW depends AS SELECT id, name, count(*) FROM t GROUP BY id;
		CREATE TRIGGER stop BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION stop();
		TRUNCATE control;));
	return;
}

# All that the catalogs have about the table's indexes, except their files.
my $everything = q(
	SELECT i.indexrelid::regclass, pg_get_indexdef(i.indexrelid), indisunique, indisprimary, indisexclusion, indimmediate,
		indisclustered, indisvalid, indisready, indislive, indisreplident, indnullsnotdistinct,
		obj_description(i.indexrelid, 'pg_class'), c.reloptions, c.reltablespace,
		(SELECT string_agg(attstattarget::text, ',' ORDER BY attnum) FROM pg_attribute a WHERE a.attrelid = i.indexrelid),
		pg_get_constraintdef(k.oid), k.conname, obj_description(k.oid, 'pg_constraint')
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid
	WHERE i.indrelid = 't'::regclass ORDER BY i.indexrelid::regclass::text);
$everything =~ s/ indnullsnotdistinct,// if $not_distinct eq '';

sub set_aside_count
{
	return $target->safe_psql('postgres', q(SELECT count(*) FILTER (WHERE NOT indisvalid AND NOT indisready AND indislive), count(*)
		FROM pg_index WHERE indrelid = 't'::regclass));
}

sub copies_in_full
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($target->safe_psql('postgres', 'SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM t'),
		$source->safe_psql('postgres', 'SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM t'),
		"$name: the rows are those of the source");
}

# Starts a job that waits while it copies (lock 42) or while it builds an index (lock 43). Returns its id and the
# session that holds the lock.
sub hang_in
{
	my ($lock, $settings) = @_;
	my $session = $target->background_psql('postgres');
	$session->query_safe("SELECT pg_advisory_lock($lock)");
	$target->safe_psql('postgres', 'TRUNCATE control; INSERT INTO control VALUES '
		. ($lock == 42 ? '(3000, NULL)' : '(NULL, 3000)'));
	my $job = $target->safe_psql('postgres',
		($settings || '') . "SELECT fastcopy.start('$conninfo', 't', 't', 2, indexes => 'rebuild')");
	defined seconds_until(sub {
		$target->safe_psql('postgres', q(SELECT count(*) FROM pg_stat_activity
			WHERE backend_type = 'fastcopy worker' AND wait_event = 'advisory')) eq '1'
	}) or die 'the job did not come to its wait';
	return ($job, $session);
}

make_target();
my $before = $target->safe_psql('postgres', $everything);
my $count = () = $before =~ /^/mg;

# A job that succeeds.
my $answer = $target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 't', 't', 2, indexes => 'rebuild')");
is($answer, '5000', 'a copy that rebuilds the indexes');
is($target->safe_psql('postgres', $everything), $before, 'all properties of the indexes are unchanged');
copies_in_full('a rebuild');
is($target->safe_psql('postgres', 'SELECT indexes_done = indexes, indexes, state FROM fastcopy.status'), "t|$count|done", 'the status counts the indexes');
is($target->safe_psql('postgres', q(SELECT count(*) FILTER (WHERE state = 'done' AND bytes > 0 AND finished_at >= started_at), count(DISTINCT definition) FROM fastcopy.indexes)),
	"$count|$count", 'fastcopy.indexes tells of each');
for my $query ('SELECT * FROM t WHERE id = 4000', 'SELECT * FROM t WHERE code = 4000', q{SELECT * FROM t WHERE span && '[4000,4001)'})
{
	like($target->safe_psql('postgres', "SET enable_seqscan = off; EXPLAIN $query"), qr/Index/, "an index serves $query");
}
fails_with($target, 'INSERT INTO t SELECT * FROM t WHERE id = 5', '23505', qr/"the key"/, 'the primary key is enforced again');
fails_with($target, q{INSERT INTO t VALUES (9000, 9000, 'x', '[40,50)', now())}, '23P01', qr/"no_overlap"/, 'so is the exclusion constraint');
fails_with($target, q(INSERT INTO t VALUES (9000, 5, 'x', NULL, now())), '23505', qr/"code_key"/, 'so is the deferred one');
is($target->safe_psql('postgres', q(INSERT INTO refers VALUES (5); SELECT count(*) FROM refers)), '1', 'the foreign key finds its row');
fails_with($target, 'DELETE FROM t WHERE id = 5', '23503', qr/"refers_id_fkey"/, 'and holds it');

# With truncate, into a table that has rows; REINDEX uses the caller's settings, divided.
$target->safe_psql('postgres', 'TRUNCATE refers; ALTER TABLE refers DROP CONSTRAINT refers_id_fkey');
$target->safe_psql('postgres', "SET maintenance_work_mem = '40MB'; SELECT fastcopy.copy('$conninfo', 't', 't', 4, truncate => true, indexes => 'rebuild')");
copies_in_full('truncate and rebuild');
is($target->safe_psql('postgres', $everything), $before, 'after truncate and rebuild they are unchanged');

# What other sessions see meanwhile.
make_target();
my ($job, $session) = hang_in(42);
is(set_aside_count(), "$count|$count", 'while rows are copied all indexes are set aside');
is(state_of($target, $job), 'copying', 'the state is copying');
is($target->safe_psql('postgres', "SELECT DISTINCT state FROM fastcopy.indexes WHERE job = $job"), 'set aside', 'fastcopy.indexes shows it');
$session->quit;
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'the job comes to its end');
is($target->safe_psql('postgres', $everything), $before, 'and the indexes are unchanged');

make_target();
($job, $session) = hang_in(43);
is($target->safe_psql('postgres', "SELECT s.state, s.rows_copied, w.workers > 0, i.state, i.phase IS NOT NULL, i.name FROM fastcopy.status s,
		(SELECT count(*) AS workers FROM fastcopy.workers WHERE index IS NOT NULL) w, fastcopy.indexes i
		WHERE s.job = $job AND i.job = $job AND i.name = 'public.expression'"),
	'indexing|5000|t|building|t|public.expression', 'an index that is being built is seen');
like($target->safe_psql('postgres', "SELECT line FROM fastcopy.progress WHERE job = $job"), qr/indexing/, 'the progress line says indexing');
like($target->safe_psql('postgres', "SELECT query FROM pg_stat_activity WHERE backend_type = 'fastcopy worker' AND wait_event = 'advisory'"),
	qr/^REINDEX INDEX public\.expression$/, 'pg_stat_activity has the statement');
$session->quit;
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'that job comes to its end');
no_leftovers($source, $target, 'after indexing');

# However the job ends, at either time: the definitions exist, and resume finishes.
my %ends = (
	cancel       => sub { $target->safe_psql('postgres', "SELECT fastcopy.cancel($_[0])"); },
	coordinator  => sub { $target->safe_psql('postgres', q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'fastcopy coordinator')); },
	worker       => sub { $target->safe_psql('postgres', q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'fastcopy worker' AND wait_event = 'advisory')); },
	crash        => sub { $target->stop('immediate'); $target->start; },
	shutdown     => sub { $target->stop('fast'); $target->start; },
);
for my $lock (42, 43)
{
	my $when = $lock == 42 ? 'copying' : 'indexing';
	for my $end (sort keys %ends)
	{
		make_target();
		my ($job, $session) = hang_in($lock);
		$ends{$end}->($job);
		wait_state($target, $job, 'failed|cancelled|interrupted');
		quit_quietly($session);
		my ($aside, $all) = split /\|/, set_aside_count();
		ok($all == $count && $aside > 0, "$end while $when: $aside of $count indexes are set aside, none is lost");
		$target->safe_psql('postgres', 'TRUNCATE control');
		is($target->safe_psql('postgres', "SELECT fastcopy.resume($job); SELECT fastcopy.wait($job)"), "$job\ndone", "$end while $when: it is resumed");
		is($target->safe_psql('postgres', $everything), $before, "$end while $when: all is as it was");
		copies_in_full("$end while $when");
	}
}

# Once all rows are copied, the source is not needed to finish.
make_target();
($job, $session) = hang_in(43);
$target->safe_psql('postgres', "SELECT fastcopy.cancel($job)");
wait_state($target, $job, 'cancelled');
$session->quit;
$source->stop;
is($target->safe_psql('postgres', "SELECT fastcopy.resume($job); SELECT fastcopy.wait($job)"), "$job\ndone", 'indexing is resumed without the source');
is($target->safe_psql('postgres', $everything), $before, 'and the indexes are unchanged');
$source->start;

# A worker that is terminated during a build is replaced.
make_target();
($job, $session) = hang_in(43);
$target->safe_psql('postgres', q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'fastcopy worker'));
$session->quit;
is($target->safe_psql('postgres', "SELECT fastcopy.wait($job)"), 'done', 'terminated workers are replaced while indexing');
is($target->safe_psql('postgres', $everything), $before, 'and the indexes are unchanged');

# REINDEX TABLE replaces the job, and a forgotten job must not be needed any more.
make_target();
($job, $session) = hang_in(42);
$target->safe_psql('postgres', "SELECT fastcopy.cancel($job)");
wait_state($target, $job, 'cancelled');
$session->quit;
fails_with($target, "SELECT fastcopy.forget($job)", '55000', qr/^indexes of the target of fastcopy job $job are still set aside$/,
	'a job with indexes set aside is not forgotten', hint => qr/fastcopy\.resume\($job\).*REINDEX TABLE public\.t/);
$target->safe_psql('postgres', 'REINDEX TABLE t');
is($target->safe_psql('postgres', $everything), $before, 'REINDEX TABLE brings all indexes back');
$target->safe_psql('postgres', "SELECT fastcopy.forget($job)");
is($target->safe_psql('postgres', "SELECT count(*) FROM fastcopy.indexes WHERE job = $job"), '0', 'then it is forgotten');

# Rows that violate a constraint: the job fails and names it; the other indexes are built on resume.
$target->safe_psql('postgres', 'DROP TABLE refers, t CASCADE; CREATE TABLE t (id bigint PRIMARY KEY, code int, name text, span int4range, at date); CREATE INDEX at ON t (at)');
$job = $target->safe_psql('postgres', "SELECT fastcopy.start('$conninfo', 'doubles', 't', 2, indexes => 'rebuild')");
wait_state($target, $job, 'failed');
is($target->safe_psql('postgres', "SELECT sqlstate, error, detail, hint FROM fastcopy.status WHERE job = $job"),
	'23505|could not create unique index "t_pkey"|Key (id)=(77) is duplicated.|'
	. "Indexes of the target are still set aside: finish the job with fastcopy.resume($job), or build them with REINDEX TABLE.", 'rows that are there twice are found when the index is built');
$target->safe_psql('postgres', 'DELETE FROM t WHERE ctid = (SELECT max(ctid) FROM t WHERE id = 77)');
is($target->safe_psql('postgres', "SELECT fastcopy.resume($job); SELECT fastcopy.wait($job)"), "$job\ndone", 'and after they were removed it is built');

# Partitions, and tables without any index.
$target->safe_psql('postgres', q(
	DROP TABLE t;
	CREATE TABLE t (id bigint, code int, name text, span int4range, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
	CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('2024-01-01') TO ('2024-06-01');
	CREATE TABLE t2 PARTITION OF t DEFAULT;
	CREATE INDEX ON t (code);
	CREATE INDEX only_here ON t2 (name);));
my $validity = q(SELECT string_agg(indexrelid::regclass || ' ' || indisvalid, ', ' ORDER BY indexrelid::regclass::text) FROM pg_index WHERE indrelid IN ('t'::regclass, 't1'::regclass, 't2'::regclass));
$before = $target->safe_psql('postgres', $validity);
is($target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 't', 't', 2, indexes => 'rebuild')"), '5000', 'into partitions');
is($target->safe_psql('postgres', $validity), $before, 'all of their indexes are valid');
copies_in_full('partitions');
$target->safe_psql('postgres', 'DROP TABLE t; CREATE TABLE t (id bigint, code int, name text, span int4range, at date)');
is($target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 't', 't', 2, indexes => 'rebuild')"), '5000', 'into a table without an index');

# Privileges.
my $reader = $source->safe_psql('postgres', 'SELECT current_user');
my ($host, $port) = ($source->host, $source->port);
$target->safe_psql('postgres', qq(
	CREATE ROLE writer LOGIN;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO writer;
	CREATE SERVER old FOREIGN DATA WRAPPER pg_fastcopy OPTIONS (host '$host', port '$port', dbname 'postgres');
	CREATE USER MAPPING FOR writer SERVER old OPTIONS (user '$reader', password_required 'false');
	GRANT USAGE ON FOREIGN SERVER old TO writer;
	TRUNCATE t;
	CREATE INDEX at ON t (at);
	GRANT INSERT, SELECT ON t TO writer;));
fails_with($target, "SELECT fastcopy.copy('old', 't', 't', 2, indexes => 'rebuild')", '42501', $target->safe_psql('postgres', 'SHOW server_version_num') < 170000 ? qr/^must be owner of table t$/ : qr/^permission denied for table t$/,
	'a role that does not own the table may not rebuild its indexes', user => 'writer');
is(set_aside_count(), '0|1', 'nor are they then');
is($target->safe_psql('postgres', 'SELECT count(*) FROM t'), '0', 'and there is no job');
SKIP:
{
	skip 'there is no privilege MAINTAIN before version 17', 2 if $target->safe_psql('postgres', 'SHOW server_version_num') < 170000;
	$target->safe_psql('postgres', 'GRANT MAINTAIN ON t TO writer');
	is($target->safe_psql('postgres', "SELECT fastcopy.copy('old', 't', 't', 2, indexes => 'rebuild')", extra_params => [ '-U', 'writer' ]),
		'5000', 'a role with MAINTAIN may');
	is(set_aside_count(), '0|1', 'and they are built');
	$target->safe_psql('postgres', 'TRUNCATE t; REVOKE MAINTAIN ON t FROM writer');
}
$target->safe_psql('postgres', 'ALTER TABLE t OWNER TO writer');
is($target->safe_psql('postgres', "SELECT fastcopy.copy('old', 't', 't', 2, indexes => 'rebuild')", extra_params => [ '-U', 'writer' ]), '5000', 'the owner may');
fails_with($target, "SELECT fastcopy.copy('$conninfo', 't', 't', indexes => 'drop')", '22023', qr/^invalid value for argument "indexes": "drop"$/, 'a wrong word');
fails_with($target, "SELECT fastcopy.copy('$conninfo', 't', 't', indexes => NULL)", '22004', qr/^argument "indexes" must not be null$/, 'NULL');

no_leftovers($source, $target, 'in the end');
done_testing();
