# The same rows arrive whatever the settings of the servers, databases and roles.
#
# Settings: a database or a role may have any of them, and those that change how a value prints, how a
# string is read, or how long a statement may take would garble or end a copy. Targets that do more than
# store: triggers, partitions, unlogged tables. And a source that is a standby. Encodings are in
# 097_encodings.pl.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use FastcopyCompare;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair(
	source_conf => "wal_level = replica\nmax_wal_senders = 4\nhot_standby = on\n");

# Settings. The values are those that settings could affect: values with several output formats, in text and in
# binary, strings with backslashes, arrays with NULLs.
my @columns = (
	'id integer', 'd date', 't timestamp', 'tz timestamptz', 'i interval', 'b bytea', 'f float8', 'r real', 's text',
	'a text[]', 'n integer[]', 'x xml', 'ts tsvector');
on_both('CREATE TABLE odd (' . join(', ', @columns) . ')');
$source->safe_psql('postgres', 'CREATE INDEX ON odd (tz); CREATE INDEX ON odd (b); CREATE INDEX ON odd (f); CREATE INDEX ON odd (s); CREATE INDEX ON odd (i)');
$target->safe_psql('postgres', 'CREATE TABLE odd_text (LIKE odd); ALTER TABLE odd_text ALTER id TYPE bigint');
$source->safe_psql(
	'postgres', q(
	INSERT INTO odd SELECT g, '2024-02-03'::date + g, '2024-02-03 04:05:06.789'::timestamp + g * interval '1 day', '2024-02-03 04:05:06.789+00'::timestamptz + g * interval '1 hour',
		g * interval '1 year -2 mons 3 days -04:05:06.7', decode(md5(g::text), 'hex') || '\\\\001', g / 7.0::float8 * 1e-5, g / 7.0::float4, E'it\\\\''s ' || g,
		ARRAY['NULL', NULL, 'a\\b', md5(g::text)], ARRAY[g, NULL], ('<a/><b>' || g || '</b>')::xml, ('a:1 b' || g || ':2')::tsvector
	FROM generate_series(1, 1500) g; ANALYZE odd));
my $version = $target->safe_psql('postgres', 'SHOW server_version_num');
my @odd = (
	[ datestyle => q('SQL, DMY') ], [ datestyle => q('German') ], [ datestyle => q('Postgres, YMD') ],
	[ intervalstyle => q('sql_standard') ], [ intervalstyle => q('iso_8601') ], [ intervalstyle => q('postgres_verbose') ],
	[ timezone => q('Asia/Kathmandu') ], [ timezone => q('America/New_York') ], [ bytea_output => q('escape') ],
	[ extra_float_digits => '-15' ], $version < 190000 ? [ standard_conforming_strings => 'off' ] : (), [ escape_string_warning => 'on' ],
	[ xmloption => 'document' ], [ array_nulls => 'off' ], [ quote_all_identifiers => 'on' ], [ transform_null_equals => 'on' ],
	[ client_encoding => q('SQL_ASCII') ], [ client_encoding => q('LATIN1') ], [ search_path => q('pg_temp, nowhere') ],
	[ default_transaction_isolation => 'serializable' ], [ default_transaction_deferrable => 'on' ],
	[ default_transaction_read_only => 'on' ],
	[ statement_timeout => q('300ms') ], [ lock_timeout => q('300ms') ], [ idle_in_transaction_session_timeout => q('300ms') ],
	[ idle_session_timeout => q('300ms') ], [ backslash_quote => 'off' ], [ enable_tidscan => 'off' ], [ enable_indexscan => 'off' ],
	[ force_parallel_mode => 'on' ], [ debug_parallel_query => 'on' ], [ synchronize_seqscans => 'on' ], [ row_security => 'off' ], [ work_mem => q('64kB') ],
	[ session_replication_role => 'replica' ], [ synchronous_commit => 'remote_apply' ], [ lc_messages => q('C') ],
	[ default_tablespace => q('pg_default') ], [ check_function_bodies => 'off' ], [ plan_cache_mode => 'force_generic_plan' ],
	[ jit_above_cost => '0' ], [ zero_damaged_pages => 'on' ], [ allow_system_table_mods => 'on' ],
	[ transaction_timeout => q('300ms') ]);
# Not every version has all of these.
my %known = map { $_ => 1 } split /\n/, $target->safe_psql('postgres', 'SELECT name FROM pg_settings');
@odd = grep { $known{ $_->[0] } } @odd;

# Asserts that fastcopy.compare finds no difference; in a session that has the settings, too.
sub compares_equal
{
	my ($name, $from, $to, %case) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $node     = delete $case{node} || $source;
	my $conninfo = conninfo($node, %{ delete $case{source_words} || {} });
	my $more     = join '', map { ", $_ => " . sql_string($case{$_}) } sort keys %case;
	my $patience = join '', map { $known{$_} ? "SET $_ = 0; " : '' } qw(statement_timeout transaction_timeout);
	my ($status, $stdout, $stderr) = run_verbose($target, "${patience}SELECT differs FROM fastcopy.compare('$conninfo', '$from', '$to', 2$more) WHERE range = 'total'");
	return is("$stdout$stderr", 'f', "$name: compare agrees");
}

# Sets each on both sides, for the database or for the role, and copies by blocks in binary and by key in text. The
# source waits a little in each copy, so that a timeout would fire.
my $slowly = q(id > 0 AND (id <> 700 OR pg_catalog.pg_sleep(0.4) IS NOT NULL));
my $turn   = 0;
for my $setting (@odd)
{
	my ($name, $value) = @$setting;
	my $whom = $turn++ % 2 ? 'ROLE CURRENT_USER' : 'DATABASE postgres';
	# The calling session overrides settings that would stop it: a timeout, and read-only transactions.
	on_both("SET default_transaction_read_only = off; ALTER $whom SET $name = $value");
	my $timeout = $name =~ /timeout/;
	my $filter = $timeout ? q(, filter => ) . sql_string($slowly) : '';
	copies_equal($source, $target, name => "$name = $value, binary", from => 'public.odd', workers => [2], chunk_size => 64,
		args => "statistics => true$filter", format => 'binary', kinds => 'blocks');
	copies_equal($source, $target, name => "$name = $value, text, by key", from => 'public.odd', to => 'odd_text', workers => [2], chunk_size => 64,
		args => q(key => ') . (qw(tz b f s i))[ $turn % 5 ] . "'$filter", format => 'text', kinds => 'nulls,range');
	compares_equal("$name = $value", 'public.odd', 'public.odd', $timeout ? (filter => $slowly) : ());
	$_->safe_psql('postgres', "SET default_transaction_read_only = off; ALTER $whom RESET $name") for $source, $target;
}
# All the timeouts at once, on a source that sends nothing for longer than each of them.
$source->safe_psql(
	'postgres', q(
	CREATE ROLE hurried LOGIN SUPERUSER;
	ALTER ROLE hurried SET statement_timeout = '200ms';
	ALTER ROLE hurried SET lock_timeout = '200ms';
	ALTER ROLE hurried SET idle_in_transaction_session_timeout = '200ms';
	ALTER ROLE hurried SET idle_session_timeout = '200ms'));
# The coordinator's session on the source is idle while the workers sleep.
copies_equal($source, $target, name => 'timeouts of the source role', from => 'odd', workers => [ 1, 4 ], chunk_size => 64,
	source_words => { user => 'hurried' },
	args => 'filter => ' . sql_string('id % 400 > 0 OR pg_catalog.pg_sleep(0.3) IS NOT NULL'));

compares_equal('timeouts of the source role', 'odd', 'odd', source_words => { user => 'hurried' }, filter => 'id % 400 > 0 OR pg_catalog.pg_sleep(0.3) IS NOT NULL');

# Serializable by default: workers that write adjacent marks do not conflict.
on_both(q(ALTER DATABASE postgres SET default_transaction_isolation = 'serializable'));
copies_equal($source, $target, name => 'serializable by default, many small chunks', from => 'odd', workers => [ 4, 8 ],
	chunk_size => 8);
on_both('ALTER DATABASE postgres RESET default_transaction_isolation');

# Triggers of the target.
on_both('CREATE TABLE fired (id integer, word text)');
$source->safe_psql('postgres', 'INSERT INTO fired SELECT g, g::text FROM generate_series(1, 2000) g');
$target->safe_psql(
	'postgres', q(
	CREATE TABLE seen (id integer, who text, role text);
	CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN INSERT INTO seen VALUES (NEW.id, TG_NAME, current_user); RETURN NEW; END $$;
	CREATE FUNCTION drop_odd() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN IF NEW.id % 2 = 1 THEN RETURN NULL; END IF; NEW.word := NEW.word || '!'; RETURN NEW; END $$;
	CREATE FUNCTION count_all() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN INSERT INTO seen SELECT count(*), TG_NAME, current_user FROM added; RETURN NULL; END $$;
	CREATE TRIGGER after_row AFTER INSERT ON fired FOR EACH ROW EXECUTE FUNCTION see();
	CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON fired DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION see();
	CREATE TRIGGER whole AFTER INSERT ON fired REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_all();
	CREATE TRIGGER a_before BEFORE INSERT ON fired FOR EACH ROW EXECUTE FUNCTION drop_odd()));
my $seen = q(SELECT who, count(DISTINCT id), count(*), min(role) = max(role) AND min(role) = current_user FROM seen WHERE who <> 'whole' GROUP BY who
	UNION ALL SELECT who, sum(id), 0, true FROM seen WHERE who = 'whole' GROUP BY who ORDER BY 1);
copies_equal($source, $target, name => 'triggers, one of which drops and changes rows', from => 'fired', workers => [4],
	expected => q(SELECT id, word || '!' FROM fired WHERE id % 2 = 0), rows => 2000);
is($target->safe_psql('postgres', $seen), "after_row|1000|1000|t\ndeferred|1000|1000|t\nwhole|1000|0|t", 'each trigger has fired once for each row');
$target->safe_psql('postgres', 'TRUNCATE seen; ALTER TABLE fired ENABLE ALWAYS TRIGGER after_row');
copies_equal($source, $target, name => 'triggers => false', from => 'fired', workers => [4], args => 'triggers => false');
is($target->safe_psql('postgres', $seen), 'after_row|2000|2000|t', 'only a trigger that is always enabled has fired');

# A view with an INSTEAD OF trigger.
$target->safe_psql(
	'postgres', q(
	CREATE TABLE behind (id integer, word text);
	CREATE VIEW front AS SELECT * FROM behind;
	CREATE FUNCTION pass_on() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN INSERT INTO behind VALUES (NEW.*); RETURN NEW; END $$;
	CREATE TRIGGER pass_on INSTEAD OF INSERT ON front FOR EACH ROW EXECUTE FUNCTION pass_on()));
is($target->safe_psql('postgres', sprintf(q(SELECT fastcopy.copy('%s', 'fired', 'front')), conninfo($source))),
	'2000', 'into a view with an INSTEAD OF trigger');
is(table_digest($target, 'behind'), table_digest($source, 'fired'), '... and all rows have passed');

# An unlogged target; one with a foreign key that is satisfied; a partitioned one with a trigger on a partition; one
# that is truncated, with an identity column; one that is appended to.
$target->safe_psql(
	'postgres', q(
	CREATE UNLOGGED TABLE unlogged (id integer, word text);
	CREATE TABLE known (id integer PRIMARY KEY);
	INSERT INTO known SELECT generate_series(1, 2000);
	CREATE TABLE referring (id integer REFERENCES known, word text);
	CREATE TABLE routed (id integer, word text) PARTITION BY RANGE (id);
	CREATE TABLE routed_low PARTITION OF routed FOR VALUES FROM (1) TO (500);
	CREATE TABLE routed_high (word text, id integer);
	ALTER TABLE routed ATTACH PARTITION routed_high FOR VALUES FROM (500) TO (2001);
	CREATE TRIGGER after_row AFTER INSERT ON routed_low FOR EACH ROW EXECUTE FUNCTION see();
	INSERT INTO routed VALUES (7, 'old')));
copies_equal($source, $target, name => 'unlogged target', from => 'fired', to => 'unlogged');
copies_equal($source, $target, name => 'target with a foreign key', from => 'fired', to => 'referring', workers => [ 1, 4 ]);
$target->safe_psql('postgres', 'TRUNCATE seen');
copies_equal($source, $target, name => 'partitioned target, routed', from => 'fired', to => 'routed', workers => [4]);
is($target->safe_psql('postgres', 'SELECT count(*) FROM seen'), '499', 'a trigger of a partition has fired');
$target->safe_psql('postgres', 'DROP TABLE routed_high; TRUNCATE routed');
fails_with($target, sprintf(q(SELECT fastcopy.copy('%s', 'fired', 'routed')), conninfo($source)),
	'23514', qr/no partition of relation "routed" found for row/, 'row for which there is no partition');
$target->safe_psql('postgres', q(TRUNCATE unlogged; INSERT INTO unlogged VALUES (-1, 'old')));
is($target->safe_psql('postgres', sprintf(q(SELECT fastcopy.copy('%s', 'fired', 'unlogged')), conninfo($source))),
	'2000', 'without truncate');
is($target->safe_psql('postgres', 'SELECT count(*), min(id) FROM unlogged'), '2001|-1', 'what was there is still there');

# Indexes of all kinds are kept up to date.
$target->safe_psql(
	'postgres', q(
	CREATE TABLE indexed (id integer PRIMARY KEY, word text UNIQUE);
	CREATE INDEX ON indexed USING hash (word);
	CREATE INDEX ON indexed USING gin (to_tsvector('simple', word));
	CREATE INDEX ON indexed (lower(word)) WHERE id > 100;
	CREATE INDEX ON indexed USING brin (id)));
copies_equal($source, $target, name => 'target with indexes', from => 'fired', to => 'indexed', workers => [4]);
is($target->safe_psql('postgres', q(SET enable_seqscan = off; SELECT count(*) FROM indexed WHERE word = '1234')), '1', 'an index finds a row');

# So are those of constraints that look at several rows: one that excludes others, and one that is checked at the end only.
$target->safe_psql(
	'postgres', q(
	CREATE TABLE excluding (id integer, word text, CONSTRAINT apart EXCLUDE USING gist (int4range(id, id + 1) WITH &&));
	CREATE TABLE deferring (id integer CONSTRAINT once UNIQUE DEFERRABLE INITIALLY DEFERRED, word text)));
for my $case ([ excluding => '23P01', 'apart' ], [ deferring => '23505', 'once' ])
{
	my ($table, $sqlstate, $constraint) = @$case;
	copies_equal($source, $target, name => "target with a constraint: $table", from => 'fired', to => $table, workers => [ 1, 4 ]);
	compares_equal("target with a constraint: $table", 'fired', $table);
	fails_with($target, sprintf(q(SELECT fastcopy.copy('%s', 'fired', '%s', 2)), conninfo($source), $table), $sqlstate, qr/"$constraint"/, "... which holds: $table");
}

# statistics => true is an ANALYZE.
$target->safe_psql('postgres', 'CREATE TABLE analyzed (id integer, word text)');
copies_equal($source, $target, name => 'statistics => false', from => 'fired', to => 'analyzed', workers => [1], args => 'statistics => false');
is($target->safe_psql('postgres', q(SELECT reltuples FROM pg_class WHERE relname = 'analyzed')), '-1', 'has not analyzed');
copies_equal($source, $target, name => 'statistics => true', from => 'fired', to => 'analyzed', workers => [1], args => 'statistics => true');
is($target->safe_psql('postgres', q(SELECT reltuples FROM pg_class WHERE relname = 'analyzed')), '2000', 'has analyzed');

# From a standby, by blocks and by key.
$source->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($source, 'base', has_streaming => 1);
$standby->start;
$source->safe_psql('postgres', q(INSERT INTO fired SELECT g, 'late' FROM generate_series(3001, 4000) g; CREATE INDEX ON fired (id)));
$source->wait_for_catchup($standby, 'replay', $source->lsn('write'));
$target->safe_psql('postgres', 'DROP TRIGGER a_before ON fired; DROP TRIGGER deferred ON fired');
is($standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()'), 't', 'the standby is a standby');
copies_equal($standby, $target, name => 'from a standby', from => 'fired', kinds => 'blocks');
copies_equal($standby, $target, name => 'from a standby, by key', from => 'fired', args => q(key => 'id'), kinds => 'nulls,range', workers => [ 1, 4 ]);
copies_equal($standby, $target, name => 'from a standby, of many types', from => 'odd', workers => [4]);
compares_equal("standby, $_", $_, $_, node => $standby) for qw(fired odd);

no_leftovers($source, $target, 'all environments');
no_leftovers($standby, $target, 'and the standby');
done_testing();
