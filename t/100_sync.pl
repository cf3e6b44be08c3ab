# fastcopy.sync: each run copies what was inserted since the last one, and nothing twice, whatever was in progress
# then: transactions, savepoints, prepared transactions, and sessions that had taken a key but no transaction id. What
# it cannot determine it rejects, with a hint.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyGate;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair(
	source_conf => "max_prepared_transactions = 5\nwal_level = replica\n",
	target_conf => "log_min_messages = debug1\n");
my $conninfo = conninfo($source);
my $define   = 'CREATE TABLE events (id bigint PRIMARY KEY, v text NOT NULL)';
$source->safe_psql('postgres', "$define; CREATE SEQUENCE ids CACHE 1; INSERT INTO events SELECT nextval('ids'), g::text FROM generate_series(1, 5000) g");
$target->safe_psql('postgres', $define);

sub call { return call_sql('sync', $source, source_table => 'public.events', target_table => 'public.events', key => 'id', @_) }

# Runs it to its end; returns the job and the path that the log reports.
sub sync_now
{
	my (%arguments) = @_;
	my $offset = -s $target->logfile;
	my $job    = $target->safe_psql('postgres', 'SELECT ' . call(%arguments));
	my $state  = $target->safe_psql('postgres', "SELECT fastcopy.wait($job)");
	die "job $job is $state" unless $state eq 'done';
	my ($way) = slurp_file($target->logfile, $offset) =~ /fastcopy sync of \S+: (.*)/;
	return ($job, $way // '');
}

sub same
{
	my ($name, $table) = @_;
	$table //= 'events';
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(table_digest($target, $table), table_digest($source, $table), $name);
}

# Sessions report their inserts to the statistics when they exit, a moment after psql does.
sub insert
{
	my ($sql) = @_;
	$source->safe_psql('postgres', "$sql; SELECT 1");
	$source->poll_query_until('postgres', q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND state <> 'idle in transaction' AND application_name <> 'held'))
	  or die 'sessions stay';
	return;
}

# The first run copies everything; later ones what is new.
insert('SELECT 1');
my ($first, $way) = sync_now();
same('the first run copies everything');
my ($again) = sync_now();
is($again, $first, 'a run that finds nothing returns the job that the target is as of');
is($target->safe_psql('postgres', 'SELECT count(*) FROM fastcopy.status'), '1', 'and is no job');
is($target->safe_psql('postgres', 'SELECT watermark, rows, job FROM fastcopy.lag'), "5000|0|$first", 'fastcopy.lag has it');
insert("INSERT INTO events SELECT nextval('ids'), 'new' FROM generate_series(1, 100)");
my $job;
($job, $way) = sync_now();
same('the second run copies what is new');
is($way, '100 rows above the watermark, no scan, 0 late', 'by its key alone');
isnt($job, $first, 'with a job of its own');
is($target->safe_psql('postgres', 'SELECT watermark, rows FROM fastcopy.lag'), '5100|100', 'which fastcopy.lag has');
insert("CREATE TABLE other (); INSERT INTO other SELECT FROM generate_series(1, 10)");
($job, $way) = sync_now();
is($way, '0 rows above the watermark, no scan, 0 late', 'transactions on other tables cause no scan');

# A transaction that took a lower key, with savepoints, some of them rolled back.
my $held = $source->background_psql('postgres', on_error_stop => 0);
$held->query_safe(q(BEGIN; SAVEPOINT a; INSERT INTO events VALUES (nextval('ids'), 'in a savepoint'); SAVEPOINT b;
	INSERT INTO events VALUES (nextval('ids'), 'rolled back'); ROLLBACK TO b; INSERT INTO events VALUES (nextval('ids'), 'after it'); RELEASE a));
insert("INSERT INTO events SELECT nextval('ids'), 'beside' FROM generate_series(1, 10)");
sync_now();
is($target->safe_psql('postgres', "SELECT count(*) FROM events WHERE v IN ('in a savepoint', 'after it')"), '0', 'what is open is not copied');
insert("INSERT INTO events SELECT nextval('ids'), 'beside' FROM generate_series(1, 10)");
$held->query_safe('COMMIT');
($job, $way) = sync_now();
same('what was open comes with the run after its commit');
like($way, qr/, scan, 2 late/, 'by a scan');
$held->quit;

# A prepared transaction, open across several runs.
insert("BEGIN; SAVEPOINT a; INSERT INTO events VALUES (nextval('ids'), 'prepared'); PREPARE TRANSACTION 'p'");
insert("INSERT INTO events VALUES (nextval('ids'), 'beside')");
sync_now() for 1 .. 2;
insert("INSERT INTO events VALUES (nextval('ids'), 'beside')");
sync_now();
insert("COMMIT PREPARED 'p'");
sync_now();
same('a prepared transaction comes too');

# A key was taken before the run by a session without a transaction id: no snapshot contains it.
sync_now();
my $taken = $source->safe_psql('postgres', "SELECT nextval('ids')");
insert("INSERT INTO events VALUES (nextval('ids'), 'beside')");
sync_now();
insert("INSERT INTO events VALUES ($taken, 'taken before')");
($job, $way) = sync_now();
same('a key that was taken before any transaction comes too');
like($way, qr/, scan, 1 late/, 'as the counters differ');

# Rolled-back rows are counted too.
sync_now();
insert("BEGIN; INSERT INTO events VALUES (nextval('ids'), 'gone'); ROLLBACK; INSERT INTO events VALUES (nextval('ids'), 'stays')");
($job, $way) = sync_now();
same('rows that are rolled back are not there');
like($way, qr/, scan, 0 late/, 'they cause one scan');
insert("INSERT INTO events VALUES (nextval('ids'), 'stays')");
($job, $way) = sync_now();
like($way, qr/, no scan,/, 'and no second one');

# Updates and deletes are not copied; a WARNING says so.
insert("UPDATE events SET v = 'changed' WHERE id = 1; DELETE FROM events WHERE id = 2; INSERT INTO events VALUES (nextval('ids'), 'w')");
my ($code, $out, $error) = $target->psql('postgres', 'SELECT ' . call() . ' \gset' . "\n" . 'SELECT fastcopy.wait(:sync)');
like($error, qr/WARNING:  source table "public.events" had 1 rows updated and 1 deleted/, 'updates and deletes raise a warning');
($code, $out, $error) = $target->psql('postgres', 'SELECT ' . call());
is($error, '', 'once');
insert("UPDATE events SET v = '1' WHERE id = 1; INSERT INTO events VALUES (2, '2')");
fails_with($target, 'SELECT ' . call(), '55000', qr/cannot tell which rows/, 'a key that was used again');
sync_now(rescan => \'true');
same('rescan => true takes it as the row that it was');

# Two calls at once, and a run that fails, which the next call finishes.
$target->safe_psql('postgres', q(CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END$$;
	CREATE TRIGGER hold BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION hold()));
my $gate = $target->background_psql('postgres', on_error_stop => 0);
$gate->query_safe('SELECT pg_advisory_lock(7)');
insert("INSERT INTO events SELECT nextval('ids'), 'held' FROM generate_series(1, 10)");
$job = $target->safe_psql('postgres', 'SELECT ' . call());
fails_with($target, 'SELECT ' . call(), '55006', qr/job $job is running/, 'a second call while one runs');
$target->safe_psql('postgres', "SELECT fastcopy.cancel($job)");
wait_state($target, $job, 'cancelled');
insert("INSERT INTO events SELECT nextval('ids'), 'between' FROM generate_series(1, 10)");
$gate->query_safe('SELECT pg_advisory_unlock(7)');
($again) = sync_now();
is($again, $job, 'the next call finishes a run that was cancelled');
($again, $way) = sync_now();
isnt($again, $job, 'and the one after that takes what came in between');
same('nothing is lost or doubled');
like($way, qr/, scan,/, 'with a scan');
$gate->query_safe('SELECT pg_advisory_lock(7)');
insert("INSERT INTO events SELECT nextval('ids'), 'held' FROM generate_series(1, 10)");
$job = $target->safe_psql('postgres', 'SELECT ' . call());
my $waiter = IPC::Run::start([ 'psql', '-XAt', '-d', $target->connstr('postgres'), '-c', 'SELECT ' . call(wait => \'true') ], '>', \my $waited, '2>', \my $waiter_error);
$gate->query_safe('SELECT pg_advisory_unlock(7)');
ok($waiter->finish, 'a call with wait => true waits its turn') or diag $waiter_error;
same('and finds all there');
$gate->quit;
$target->safe_psql('postgres', 'DROP TRIGGER hold ON events');

# What cannot be determined is rejected, with a hint.
$source->safe_psql('postgres', "CREATE TABLE plain (id bigint, at timestamptz); INSERT INTO plain VALUES (1, now())");
$target->safe_psql('postgres', 'CREATE TABLE plain (id bigint, at timestamptz)');
fails_with($target, 'SELECT ' . call(source_table => 'public.plain', target_table => 'public.plain'), '22023', qr/cannot synchronize public.plain by column "id"/, 'a key that is not unique');
fails_with($target, 'SELECT ' . call(filter => 'id > 5'), '22023', qr/key and filter must be those of the first run/, 'another filter');
my $saved = $target->safe_psql('postgres', 'SELECT snapshot FROM fastcopy.watermark');
$target->safe_psql('postgres', q(UPDATE fastcopy.watermark SET server = replace(server, ' ', '1 ')));
insert("INSERT INTO events VALUES (nextval('ids'), 'w')");
fails_with($target, 'SELECT ' . call(), '55000', qr/cannot tell which rows of source table "public.events" are new/, 'another server');
sync_now(rescan => \'true');
same('rescan => true goes on');
$target->safe_psql('postgres', q(UPDATE fastcopy.watermark SET snapshot = '5000000000:5000000000:', base_snapshot = '5000000000:5000000000:'));
fails_with($target, 'SELECT ' . call(), '55000', qr/cannot tell which rows/, 'transaction ids that start anew');
sync_now(rescan => \'true');
$source->safe_psql('postgres', "TRUNCATE events; ALTER SEQUENCE ids RESTART");
insert("INSERT INTO events SELECT nextval('ids'), 'second life' FROM generate_series(1, 10)");
fails_with($target, 'SELECT ' . call(), '55000', qr/cannot tell which rows/, 'a sequence that was reset');
insert("INSERT INTO events SELECT nextval('ids'), 'second life' FROM generate_series(1, 10000)");
fails_with($target, 'SELECT ' . call(), '55000', qr/cannot tell which rows/, 'also when it has passed the watermark');
$target->safe_psql('postgres', 'TRUNCATE events');
fails_with($target, 'SELECT ' . call(), '55000', qr/cannot tell which rows/, 'a target that was emptied');
sync_now(rescan => \'true');
same('and copied anew with rescan => true');

# A target that start has filled is adopted.
$source->safe_psql('postgres', 'CREATE TABLE filled (id uuid PRIMARY KEY, v int); INSERT INTO filled SELECT gen_random_uuid(), g FROM generate_series(1, 3000) g');
$target->safe_psql('postgres', 'CREATE TABLE filled (id uuid PRIMARY KEY, v int)');
my %filled = (source_table => 'public.filled', target_table => 'public.filled');
insert('SELECT 1');
$target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 'public.filled', 'public.filled')");
insert('INSERT INTO filled SELECT gen_random_uuid(), g FROM generate_series(1, 500) g');
sync_now(%filled);
same('a target that copy has filled is adopted', 'filled');
$target->safe_psql('postgres', "INSERT INTO plain VALUES (0, now()); CREATE TABLE foreign_rows (LIKE events); INSERT INTO foreign_rows VALUES (0, '')");
fails_with($target, 'SELECT ' . call(target_table => 'public.foreign_rows'), '55000', qr/has rows, and no watermark/, 'a target with rows of unknown origin');

# Keys of other types, a partitioned source.
for my $type ([ 'timestamptz', q(now() + g * interval '1 second') ], [ 'text', q(md5(g::text)) ], [ 'uuid', 'gen_random_uuid()' ], [ 'numeric', 'g / 7.0' ], [ 'char(40)', q(md5(g::text)) ])
{
	my ($name, $value) = @$type;
	(my $table = "by_$name") =~ s/\W//g;
	my $part = $name eq 'uuid' ? ' PARTITION BY HASH (k)' : '';
	$source->safe_psql('postgres', "CREATE TABLE $table (k $name PRIMARY KEY, v int)$part"
		  . ($part ? join '', map { "; CREATE TABLE ${table}_$_ PARTITION OF $table FOR VALUES WITH (MODULUS 2, REMAINDER $_)" } 0, 1 : ''));
	$target->safe_psql('postgres', "CREATE TABLE $table (k $name PRIMARY KEY, v int)");
	for my $round (0 .. 3)
	{
		insert("INSERT INTO $table SELECT $value, g FROM generate_series($round * 200 + 1, $round * 200 + 200) g");
		sync_now(source_table => "public.$table", target_table => "public.$table", key => 'k');
	}
	same("a key of type $name", $table);
}

# An attached partition brings rows that are older than the last snapshot, below the watermark.
$source->safe_psql('postgres', q(CREATE TABLE parted (k int PRIMARY KEY) PARTITION BY RANGE (k); CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (100) TO (200);
	CREATE TABLE parted_1 (k int PRIMARY KEY); INSERT INTO parted_1 SELECT generate_series(1, 50); INSERT INTO parted SELECT generate_series(100, 150)));
$target->safe_psql('postgres', 'CREATE TABLE parted (k int PRIMARY KEY)');
my %parted = (source_table => 'public.parted', target_table => 'public.parted', key => 'k');
insert('SELECT 1');
sync_now(%parted);
insert('ALTER TABLE parted ATTACH PARTITION parted_1 FOR VALUES FROM (0) TO (100)');
sync_now(%parted);
same('the rows of a partition that was attached come', 'parted');

# After a crash of the source, its counters are not used.
insert("INSERT INTO filled SELECT gen_random_uuid(), 1");
sync_now(%filled);
insert("INSERT INTO filled VALUES ('00000000-0000-0000-0000-000000000001', 1)");
$source->stop('immediate');
$source->start;
($job, $way) = sync_now(%filled);
like($way, qr/, scan, /, 'a run after a crash of the source scans');
same('and takes what the counters have lost', 'filled');

# A first run that was cancelled half-way is resumed although the rows have moved to other blocks meanwhile.
sub define
{
	my ($table, $columns, %opts) = @_;
	$source->safe_psql('postgres', "CREATE TABLE $table ($columns)");
	$target->safe_psql('postgres', "CREATE TABLE $table ($columns)");
	return (source_table => "public.$table", target_table => "public.$table");
}
sub gate_at
{
	my ($table, $id) = @_;
	$target->safe_psql('postgres', "CREATE TRIGGER hold BEFORE INSERT ON $table FOR EACH ROW WHEN (NEW.id = $id) EXECUTE FUNCTION hold()");
	my $session = $target->background_psql('postgres', on_error_stop => 0);
	$session->query_safe('SELECT pg_advisory_lock(7)');
	return $session;
}
my %moved = define('moved', 'id bigint PRIMARY KEY, v text');
$source->safe_psql('postgres', "BEGIN; INSERT INTO moved SELECT -g, repeat('x', 50) FROM generate_series(1, 2000) g; ROLLBACK; INSERT INTO moved SELECT g, repeat('x', 50) FROM generate_series(1, 4000) g; ANALYZE moved");
$gate = gate_at('moved', 3000);
$job  = $target->safe_psql('postgres', "SET fastcopy.chunk_size = '8kB'; SELECT " . call(%moved, workers => 1));
wait_at_gate($target, 1) or die 'no worker came to the gate';
$target->safe_psql('postgres', "SELECT fastcopy.cancel($job)");
wait_state($target, $job, 'cancelled');
cmp_ok($target->safe_psql('postgres', "SELECT chunks_done FROM fastcopy.status WHERE job = $job"), '>', 1, 'a first run that was cancelled half way');
$gate->quit;
$source->safe_psql('postgres', 'VACUUM FULL moved');
($again) = sync_now(%moved);
is($again, $job, '... is finished by the next call');
same('... with each row once, though all have moved', 'moved');

# Constraints that involve several rows: one chunk, of the new rows only.
my %across = define('across', 'id bigint PRIMARY KEY, v text');
$target->safe_psql('postgres', q(ALTER TABLE across DROP CONSTRAINT across_pkey; CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
	CREATE CONSTRAINT TRIGGER looks AFTER INSERT ON across DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION nothing()));
insert("INSERT INTO across SELECT g * 10, '' FROM generate_series(1, 1000) g");
sync_now(%across);
insert("INSERT INTO across SELECT g * 10, '' FROM generate_series(1001, 1100) g; INSERT INTO across VALUES (5, 'late')");
($job, $way) = sync_now(%across);
like($way, qr/^100 rows above the watermark, scan, 1 late/, 'rows above and below the watermark');
same('... into a target with a constraint trigger', 'across');
is($target->safe_psql('postgres', "SELECT chunks FROM fastcopy.status WHERE job = $job"), '1', '... go there in one transaction');

# The target is truncated while a run is not finished, before its first chunk.
my %emptied = define('emptied', 'id bigint PRIMARY KEY, v text');
insert("INSERT INTO emptied SELECT g, '' FROM generate_series(1, 100) g");
sync_now(%emptied);
insert("INSERT INTO emptied VALUES (101, '')");
$gate = gate_at('emptied', 101);
$job  = $target->safe_psql('postgres', 'SELECT ' . call(%emptied));
wait_at_gate($target, 1) or die 'no worker came to the gate';
$target->safe_psql('postgres', "SELECT fastcopy.cancel($job)");
wait_state($target, $job, 'cancelled');
$gate->quit;
$target->safe_psql('postgres', 'TRUNCATE emptied');
fails_with($target, 'SELECT ' . call(%emptied), '55000', qr/may have lost rows/, 'a target that is emptied before an unfinished run is resumed');
$target->safe_psql('postgres', 'DROP TRIGGER hold ON emptied');
sync_now(%emptied, rescan => \'true');
same('... is filled by rescan => true', 'emptied');

# The rows that start has copied no longer exist.
my %gone = define('gone', 'id bigint PRIMARY KEY, v text');
insert("INSERT INTO gone SELECT g, '' FROM generate_series(1, 100) g");
$target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 'public.gone', 'public.gone')");
$target->safe_psql('postgres', "TRUNCATE gone; INSERT INTO gone VALUES (1, '')");
fails_with($target, 'SELECT ' . call(%gone), '55000', qr/has rows, and no watermark/, 'a target that was emptied since start filled it');

# Keys with a length are compared as a whole.
my %padded = define('padded', 'id char(5) PRIMARY KEY, v text');
insert("INSERT INTO padded SELECT 'k' || g, '' FROM generate_series(1, 50) g");
sync_now(%padded);
insert("INSERT INTO padded VALUES ('k', 'a prefix'), ('j1', 'below')");
sync_now(%padded, rescan => \'true');
same('keys of type char(n)', 'padded');

# Another table with that name, and that table with another name.
insert("ALTER TABLE padded RENAME TO padded_2024; CREATE TABLE padded (id char(5) PRIMARY KEY, v text); INSERT INTO padded SELECT 'z' || g, '' FROM generate_series(1, 50) g");
fails_with($target, 'SELECT ' . call(%padded), '55000', qr/cannot tell which rows/, 'another table of the same name');
$target->safe_psql('postgres', 'TRUNCATE filled');
sync_now(%filled, rescan => \'true');
fails_with($target, 'SELECT ' . call(%filled, source_table => 'filled', rescan => \'true'), '22023', qr/is synchronized with this source table already/, 'the same table by another name');

# Into a partition, where several sources are collected.
$target->safe_psql('postgres', q(CREATE TABLE collected (shop int NOT NULL, id uuid, v int) PARTITION BY LIST (shop);
	CREATE TABLE collected_7 PARTITION OF collected (shop DEFAULT 7) FOR VALUES IN (7)));
my %collected = (%filled, target_table => 'public.collected_7');
sync_now(%collected);
insert('INSERT INTO filled SELECT gen_random_uuid(), g FROM generate_series(1, 10) g');
sync_now(%collected);
is($target->safe_psql('postgres', 'SELECT count(*), count(DISTINCT id), sum(v) FROM collected WHERE shop = 7'), $source->safe_psql('postgres', 'SELECT count(*), count(DISTINCT id), sum(v) FROM filled'),
	'a partition of the target is kept up');

# A key that could be mistaken for another.
my %coarse = define('coarse', 'id text PRIMARY KEY, v text');
$target->safe_psql('postgres', q(CREATE COLLATION insensitive (provider = icu, locale = 'und-u-ks-level2', deterministic = false); ALTER TABLE coarse ALTER id TYPE text COLLATE insensitive));
fails_with($target, 'SELECT ' . call(%coarse), '42804', qr/cannot compare keys of column "id"/, 'a collation that takes two keys for one');
$target->safe_psql('postgres', 'DROP TABLE coarse; CREATE TABLE coarse (id date PRIMARY KEY, v text)');
fails_with($target, 'SELECT ' . call(%coarse), '42804', qr/cannot compare keys of column "id"/, 'a type that takes two keys for one');

# A transaction whose id is above those of all ended ones is in no snapshot's list.
my %above = define('above', 'id bigint PRIMARY KEY, v text');
insert("INSERT INTO above SELECT g, '' FROM generate_series(1, 10) g");
sync_now(%above);
my @sessions = map { $source->background_psql('postgres', on_error_stop => 0) } 1 .. 2;
$sessions[0]->query_safe('BEGIN; SELECT txid_current()');
$sessions[1]->query_safe("BEGIN; INSERT INTO above VALUES (11, 'open')");
$sessions[0]->query_safe("INSERT INTO above VALUES (12, 'done'); COMMIT");
sync_now(%above);
is($target->safe_psql('postgres', q(SELECT was_open, split_part(snapshot, ':', 1) = split_part(snapshot, ':', 2) FROM fastcopy.watermark WHERE source_table = 'public.above')), 't|t',
	'a transaction that no snapshot lists is known to have been open');
$sessions[1]->query_safe('COMMIT');
sync_now(%above);
same('... and copied when it has ended', 'above');
$_->quit for @sessions;

# Ended jobs are removed after fastcopy.keep_jobs, except those that a watermark refers to.
my $kept = $target->safe_psql('postgres', 'SELECT count(DISTINCT job) FROM fastcopy.watermark');
$target->append_conf('postgresql.conf', 'fastcopy.keep_jobs = 0');
$target->reload;
$target->safe_psql('postgres', q(UPDATE fastcopy.job SET finished_at = finished_at - interval '1 hour'));
insert("INSERT INTO filled SELECT gen_random_uuid(), 1");
sync_now(%filled);
cmp_ok($target->safe_psql('postgres', 'SELECT count(*) FROM fastcopy.status'), '<=', $kept + 1, 'old jobs are removed');

no_leftovers($source, $target, 'in the end');
done_testing();
