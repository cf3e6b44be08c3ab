# Constraints that involve more than one row: a job in chunks ends like COPY in one transaction. It never happens that
# some chunks are stored and the job fails because of a chunk that is not copied yet.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyGate;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair();
my $conninfo = conninfo($source);
my $small = "SET fastcopy.chunk_size = '64kB'";

# Each row references the next: the first chunk's last row references the second chunk.
on_both('CREATE TABLE emp (id int PRIMARY KEY, boss int, note text)');
$source->safe_psql('postgres', q(INSERT INTO emp SELECT g, nullif(g + 1, 20001), repeat('x', 50) FROM generate_series(1, 20000) g));

sub make_emp
{
	my ($key) = @_;
	$target->safe_psql('postgres', "DROP TABLE IF EXISTS emp CASCADE; CREATE TABLE emp (id int PRIMARY KEY, boss int, note text); $key");
	return;
}

sub copy_emp
{
	my ($arguments, %opts) = @_;
	my ($status, $stdout, $stderr) = run_verbose($target, "$small; SELECT fastcopy.copy('$conninfo', 'emp', 'emp', 4$arguments)", %opts);
	return ($stdout, $stderr);
}

my $last = 'SELECT state, chunks FROM fastcopy.status ORDER BY job DESC LIMIT 1';
for my $deferred ('', 'DEFERRABLE INITIALLY DEFERRED')
{
	make_emp("ALTER TABLE emp ADD CONSTRAINT emp_boss_fkey FOREIGN KEY (boss) REFERENCES emp $deferred");
	my ($rows, $stderr) = copy_emp('');
	is($rows, '20000', "a foreign key to the table itself $deferred");
	like($stderr, qr/NOTICE: .*public\.emp is copied in one transaction by one worker, because foreign key to the table itself "emp_boss_fkey" looks at more than one row; with indexes => 'rebuild'/,
		'... a notice says how it was copied');
	is($target->safe_psql('postgres', $last), 'done|1', '... in one chunk');
	$target->safe_psql('postgres', 'TRUNCATE emp');
	($rows, $stderr) = copy_emp(", indexes => 'rebuild'");
	is($rows, '20000', "... and with indexes => 'rebuild'");
	unlike($stderr, qr/NOTICE/, '... without a notice');
	like($target->safe_psql('postgres', $last), qr/^done\|[0-9]{2}/, '... in many');
	is($target->safe_psql('postgres', q(SELECT convalidated, bool_and(tgenabled = 'O') FROM pg_constraint c JOIN pg_trigger t ON tgconstraint = c.oid
		WHERE conname = 'emp_boss_fkey' GROUP BY 1)), 't|t', '... the key is valid and enforced');
	fails_with($target, 'INSERT INTO emp VALUES (-1, -2)', '23503', qr/"emp_boss_fkey"/, '... which shows');
}
is($target->safe_psql('postgres', 'SELECT name, table_name, state, definition FROM fastcopy.foreign_keys ORDER BY job DESC LIMIT 1'),
	'emp_boss_fkey|public.emp|checked|FOREIGN KEY (boss) REFERENCES emp(id) DEFERRABLE INITIALLY DEFERRED', 'fastcopy.foreign_keys tells of it');

# An orphan, and a crash: the key stays set aside, rows of other sessions are checked meanwhile, and resume finishes.
$source->safe_psql('postgres', 'INSERT INTO emp VALUES (30000, 40000)');
$target->safe_psql('postgres', 'TRUNCATE emp');
my $job = $target->safe_psql('postgres', "$small; SELECT fastcopy.start('$conninfo', 'emp', 'emp', 4, indexes => 'rebuild')");
wait_state($target, $job, 'failed');
is($target->safe_psql('postgres', "SELECT sqlstate, error, detail FROM fastcopy.status WHERE job = $job"),
	'23503|insert or update on table "emp" violates foreign key constraint "emp_boss_fkey"|Key (boss)=(40000) is not present in table "emp".',
	'an orphan is found in the end, and named');
my $valid = q(SELECT convalidated FROM pg_constraint WHERE conname = 'emp_boss_fkey');
is($target->safe_psql('postgres', $valid), 'f', 'the key is marked not valid');
fails_with($target, 'INSERT INTO emp VALUES (-1, -2)', '23503', qr/"emp_boss_fkey"/, '... but holds for other rows');
fails_with($target, "SELECT fastcopy.forget($job)", '55000', qr/foreign key "emp_boss_fkey" of the target of fastcopy job $job is still set aside/, '... and the job is not forgotten');
$target->stop('immediate');
$target->start;
$target->safe_psql('postgres', 'DELETE FROM emp WHERE id = 30000');
is($target->safe_psql('postgres', "SELECT fastcopy.resume($job); SELECT fastcopy.wait($job)"), "$job\ndone", 'the job is resumed when the orphan is gone');
is($target->safe_psql('postgres', $valid), 't', '... and the key valid');
$source->safe_psql('postgres', 'DELETE FROM emp WHERE id = 30000');

# Another session validates the key while a job has it set aside and copies a chunk: the job still finds that chunk's
# orphan.
$source->safe_psql('postgres', 'UPDATE emp SET boss = CASE WHEN id = 15001 THEN 99999 ELSE nullif(id - 1, 0) END');
make_emp(q(ALTER TABLE emp ADD CONSTRAINT emp_boss_fkey FOREIGN KEY (boss) REFERENCES emp; CREATE OR REPLACE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN PERFORM pg_advisory_xact_lock_shared(71); RETURN NEW; END$$;
	CREATE TRIGGER gate BEFORE INSERT ON emp FOR EACH ROW WHEN (NEW.id = 15001) EXECUTE FUNCTION gate()));
my $gate = $target->background_psql('postgres');
$gate->query_safe('SELECT pg_advisory_lock(71)');
$job = $target->safe_psql('postgres', "$small; SELECT fastcopy.start('$conninfo', 'emp', 'emp', 1, indexes => 'rebuild')");
wait_at_gate($target, 1) or die 'no worker came to the gate';
$target->safe_psql('postgres', 'ALTER TABLE emp VALIDATE CONSTRAINT emp_boss_fkey');
is($target->safe_psql('postgres', $valid), 't', 'another session validates a key that is set aside');
$gate->quit;
is(wait_state($target, $job, 'done|failed'), 'failed', '... and the job finds the orphan that came then');
is($target->safe_psql('postgres', $valid), 'f', '... and the key is not valid any more');
$target->safe_psql('postgres', 'ALTER TABLE emp DROP CONSTRAINT emp_pkey CASCADE'); # which the job has left unbuilt
$target->safe_psql('postgres', "SELECT fastcopy.forget($job)");
$source->safe_psql('postgres', 'UPDATE emp SET boss = nullif(id + 1, 20001)');

# Partitions.
$target->safe_psql('postgres', q(DROP TABLE emp; CREATE TABLE emp (id int PRIMARY KEY, boss int REFERENCES emp, note text) PARTITION BY RANGE (id);
	CREATE TABLE emp_low PARTITION OF emp FOR VALUES FROM (1) TO (7000); CREATE TABLE emp_high PARTITION OF emp DEFAULT));
# Some versions have keys to each partition, too.
my $keys = q(SELECT conname, conrelid::regclass, confrelid::regclass, convalidated FROM pg_constraint
	WHERE contype = 'f' AND conrelid::regclass::text LIKE 'emp%' ORDER BY 2, 3, 1);
my $keys_before = $target->safe_psql('postgres', $keys);
like($keys_before, qr/^emp_boss_fkey\|emp\|emp\|t$(?:\n.*)*^emp_boss_fkey\|emp_low\|emp\|t$/m, 'partitions inherit a key');
my ($rows, $stderr) = copy_emp('');
is($rows, '20000', 'a partitioned table that refers to itself');
like($stderr, qr/one transaction by one worker/, '... goes in one transaction');
$target->safe_psql('postgres', 'TRUNCATE emp');
($rows, $stderr) = copy_emp(", indexes => 'rebuild'");
is("$rows $stderr", '20000 ', '... or is checked in the end');
is($target->safe_psql('postgres', $keys), $keys_before, '... with all of its keys valid');
# Another session validates the key of a partition, which does not affect the root's.
$source->safe_psql('postgres', 'UPDATE emp SET boss = CASE WHEN id = 6999 THEN 99999 ELSE nullif(id - 1, 0) END');
$target->safe_psql('postgres', q(TRUNCATE emp; CREATE TRIGGER gate BEFORE INSERT ON emp_low FOR EACH ROW WHEN (NEW.id = 6999) EXECUTE FUNCTION gate()));
$gate = $target->background_psql('postgres');
$gate->query_safe('SELECT pg_advisory_lock(71)');
$job = $target->safe_psql('postgres', "$small; SELECT fastcopy.start('$conninfo', 'emp', 'emp', 1, indexes => 'rebuild')");
wait_at_gate($target, 1) or die 'no worker came to the gate';
my $low = q(FROM pg_constraint WHERE contype = 'f' AND conrelid = 'emp_low'::regclass);
$target->safe_psql('postgres', 'ALTER TABLE emp_low VALIDATE CONSTRAINT ' . $target->safe_psql('postgres', "SELECT conname $low LIMIT 1"));
is($target->safe_psql('postgres', "SELECT bool_or(convalidated) $low"), 't', 'another session validates the key of a partition');
$gate->quit;
is(wait_state($target, $job, 'done|failed'), 'failed', '... and the job finds the orphan that came then');
is($target->safe_psql('postgres', "SELECT bool_or(convalidated) $low"), 'f', '... and the key is not valid any more');
$target->safe_psql('postgres', 'ALTER TABLE emp DROP CONSTRAINT emp_pkey CASCADE');
$target->safe_psql('postgres', "SELECT fastcopy.forget($job)");
$source->safe_psql('postgres', 'UPDATE emp SET boss = nullif(id + 1, 20001)');

# Other constraints.
make_emp(q(ALTER TABLE emp ADD CONSTRAINT once UNIQUE (note, id) DEFERRABLE INITIALLY DEFERRED));
($rows, $stderr) = copy_emp('');
like($stderr, qr/because deferred constraint "once" looks at more than one row; with/, 'a deferred unique constraint');
is($rows, '20000', '... is kept');
make_emp(q(CREATE OR REPLACE FUNCTION even() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN IF NEW.id = 1 AND NOT EXISTS (SELECT FROM emp WHERE id = 20000) THEN RAISE 'the last is missing'; END IF; RETURN NULL; END$$;
	CREATE CONSTRAINT TRIGGER even AFTER INSERT ON emp DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION even()));
($rows, $stderr) = copy_emp(", indexes => 'rebuild'");
like($stderr, qr/because constraint trigger "even" looks at more than one row\n/, 'a constraint trigger, which nothing can set aside');
is($rows, '20000', '... sees all rows');
make_emp('ALTER TABLE emp ADD UNIQUE (note, id) DEFERRABLE; CREATE TABLE IF NOT EXISTS boss AS SELECT generate_series(1, 20001) AS id; ALTER TABLE boss ADD PRIMARY KEY (id);
	ALTER TABLE emp ADD FOREIGN KEY (boss) REFERENCES boss DEFERRABLE INITIALLY DEFERRED');
($rows, $stderr) = copy_emp('');
is("$rows $stderr", '20000 ', 'other constraints do not keep a table from being copied in chunks');

# A CHECK that looks at other rows fails for COPY and for a job, with the name of the constraint.
on_both(q(CREATE FUNCTION prev_ok(h int) RETURNS bool LANGUAGE plpgsql AS
	$$BEGIN RETURN h = 1 OR EXISTS (SELECT FROM public.blocks WHERE height = h - 1); END$$;
	CREATE TABLE blocks (height int PRIMARY KEY, payload text)));
$source->safe_psql('postgres', q(INSERT INTO blocks SELECT g, repeat('b', 200) FROM generate_series(1, 5000) g));
on_both('ALTER TABLE blocks ADD CONSTRAINT chained CHECK (prev_ok(height))');
fails_with($target, "SELECT fastcopy.copy('$conninfo', 'blocks', 'blocks', 4)", '23514', qr/violates check constraint "chained"/, 'a CHECK that looks at other rows');
$target->safe_psql('postgres', 'TRUNCATE blocks; ALTER TABLE blocks DROP CONSTRAINT chained');
is($target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 'blocks', 'blocks', 4); ALTER TABLE blocks ADD CONSTRAINT chained CHECK (prev_ok(height))"), '5000', '... is added afterwards');

# triggers => false: foreign keys are checked at the end.
$target->safe_psql('postgres', q(DROP TABLE emp; DELETE FROM boss WHERE id = 777; CREATE TABLE emp (id int, boss int REFERENCES boss, note text)));
my $without = "$small; SELECT fastcopy.start('$conninfo', 'emp', 'emp', 4, triggers => false";
$job = $target->safe_psql('postgres', "$without)");
wait_state($target, $job, 'failed');
is($target->safe_psql('postgres', "SELECT sqlstate, error, detail FROM fastcopy.status WHERE job = $job"),
	'23503|insert or update on table "emp" violates foreign key constraint "emp_boss_fkey"|Key (boss)=(777) is not present in table "boss".', 'triggers => false: the first orphan is named');
$target->safe_psql('postgres', 'INSERT INTO boss VALUES (777)');
is($target->safe_psql('postgres', "SELECT fastcopy.resume($job); SELECT fastcopy.wait($job)"), "$job\ndone", '... and the job finishes without orphans');
is($target->safe_psql('postgres', 'SELECT count(*) FROM emp'), '20000', '... with all rows once');
$target->safe_psql('postgres', 'ALTER TABLE emp DROP CONSTRAINT emp_boss_fkey; DELETE FROM boss WHERE id = 777; TRUNCATE emp; ALTER TABLE emp ADD FOREIGN KEY (boss) REFERENCES boss');
is($target->safe_psql('postgres', "SELECT fastcopy.wait(j) FROM ($without, foreign_keys => 'skip') j) s; SELECT count(*) FROM emp WHERE boss = 777" =~ s/SELECT fastcopy.wait\(j\) FROM \($small; /$small; SELECT fastcopy.wait(j) FROM (/r =~ s/'skip'\) j\)/'skip') j)/r), "done\n1",
	q(foreign_keys => 'skip' leaves it in));
fails_with($target, "SELECT fastcopy.copy('$conninfo', 'emp', 'emp', foreign_keys => 'no')", '22023', qr/^invalid value for argument "foreign_keys": "no"$/, 'a wrong word');

# The check of a table whose owner may not read the referenced one.
SKIP:
{
	skip 'only superusers may set session_replication_role before version 15', 1 if major_version($target) < 15;
	$target->safe_psql('postgres', q(CREATE ROLE keeper LOGIN; TRUNCATE emp; GRANT REFERENCES ON boss TO keeper; ALTER TABLE emp OWNER TO keeper; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO keeper;
		GRANT SET ON PARAMETER session_replication_role TO keeper; GRANT SELECT ON boss TO postgres));
	add_scram_role($source, 'reader');
	$source->safe_psql('postgres', 'GRANT SELECT ON emp TO reader');
	fails_with($target, "SELECT fastcopy.copy('$conninfo user=reader password=sesame', 'emp', 'emp', 4, triggers => false)", '23503', qr/"emp_boss_fkey"/,
		'a role that may not read the table referred to: row by row', detail => qr/Key \(boss\)=\(777\) is not present/, user => 'keeper');
}

no_leftovers($source, $target, 'constraints across rows');
done_testing();
