# A job has the settings of the session that started it: it stores what COPY in that session stores.
#
# The matrix covers each setting that affects the meaning of a text, the output of a value, or the function that a
# name resolves to, for defaults, casts, checks, domains, triggers, generated columns and partition routing: the same
# rows go into one table by COPY in a session with the setting, and into its twin by a job started in that session.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair(
	source_conf => "log_statement = all\n",
	target_conf => "log_statement = none\nlog_min_error_statement = panic\nlog_min_messages = debug1\ntimezone = 'UTC'\n");
add_scram_role($source, 'reader');
my $conninfo = conninfo($source, user => 'reader', password => 'sesame');

$source->safe_psql('postgres', q(
	CREATE TABLE plain (id int, day text, at timestamp, span text, list text, node text, raw text, own date, own_list text[]);
	INSERT INTO plain SELECT g, '03/04/2024', '2024-01-15 12:00', '-1 1:00:00', '{1,NULL}', '<a/>', '\x6162', '2024-02-01', ARRAY['a', NULL]
	FROM generate_series(1, 6) g;
	CREATE TABLE typed (id int, own date, at timestamptz, span interval, list int[], node xml, wide int);
	INSERT INTO typed SELECT g, '2024-02-01', '2024-01-15 12:00+03', '-1 day -02:00', ARRAY[1, NULL], '<a/>some<b/>', g FROM generate_series(1, 6) g;
	GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;));

# Objects that evaluate something when `plain` is loaded. Functions are declared immutable although they are not: that
# is the test.
$target->safe_psql('postgres', q(
	CREATE SCHEMA app;
	CREATE TABLE app.log (what text);
	CREATE TABLE log (what text);
	CREATE FUNCTION app.which() RETURNS text LANGUAGE sql AS $$SELECT 'app'$$;
	CREATE FUNCTION which() RETURNS text LANGUAGE sql AS $$SELECT 'public'$$;
	CREATE ROLE clerk LOGIN;
	ALTER ROLE clerk SET timezone = 'Asia/Tokyo';
	CREATE ROLE team;
	GRANT USAGE ON SCHEMA app TO PUBLIC;
	CREATE TABLE guarded (a int);
	INSERT INTO guarded VALUES (1), (2);
	ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
	CREATE POLICY one ON guarded USING (a = 1);
	CREATE TABLE numbers AS SELECT 8 AS a;
	CREATE DOMAIN late AS text CHECK (VALUE::date > '2024-03-20');
	CREATE FUNCTION seen(int) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
	BEGIN RETURN '2024-03-04'::date::text || ' ' || interval '-1 day -2 hours' || ' ' || timestamptz '2024-01-01 00:00+00'; END$$;
	CREATE FUNCTION month_of(text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
	BEGIN RETURN extract(month FROM $1::date); END$$;
	CREATE FUNCTION evaluate(text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE result text;
	BEGIN EXECUTE $1 INTO result; RETURN coalesce(result, '-'); EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END$$;
	CREATE FUNCTION conflict() RETURNS text LANGUAGE plpgsql AS $$
	DECLARE a int := 7; b text;
	BEGIN SELECT a INTO b FROM public.numbers; RETURN b; END$$;
	CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO log VALUES (NEW.id);
		NEW.by_trigger := concat_ws(' ', which(), current_user, current_setting('app.tenant', true), quote_ident('plain'),
			public.evaluate('SELECT NULL = NULL'), public.evaluate('SELECT ''a' || repeat(chr(92), 2) || 'b'''), public.evaluate('SELECT E''' || chr(92) || ''''''''),
			public.evaluate('SELECT (''{NULL}''::text[])[1] IS NULL'), public.evaluate('SELECT ''a b''::xml'),
			public.evaluate('SELECT count(*) FROM public.guarded'), public.evaluate('SELECT xmlelement(name x, decode(''dead'', ''hex''))'),
			public.evaluate('SELECT public.conflict()'));
		RETURN NEW;
	END$$;));
for my $name ('by_copy', 'by_job')
{
	$target->safe_psql('postgres', q(
	CREATE TABLE TARGET (
		id int, day date, at timestamptz, span interval, list int[], node xml, raw bytea, own date, own_list text[],
		tenant text DEFAULT current_setting('app.tenant', true),
		day_text text DEFAULT '2024-03-04'::date::text,
		day_cast date DEFAULT ('03/04/2024'::text)::date,
		span_text text DEFAULT (interval '1 day 02:03:04')::text,
		path text DEFAULT current_schemas(false)::text,
		raw_text text DEFAULT '\xdeadbeef'::bytea::text,
		half text DEFAULT (0.1::float8 + 0.2)::text,
		words text DEFAULT to_tsvector('the foxes are running')::text,
		mode text DEFAULT current_setting('session_replication_role'),
		by_trigger text,
		generated text GENERATED ALWAYS AS (seen(id)) STORED,
		CHECK (current_setting('app.strict', true) IS DISTINCT FROM 'on' OR day < '2024-04-01'));
	CREATE TRIGGER fill BEFORE INSERT ON TARGET FOR EACH ROW EXECUTE FUNCTION fill();
	CREATE TABLE TARGET_routed (id int, day late) PARTITION BY LIST (month_of(day));
	CREATE TABLE TARGET_march PARTITION OF TARGET_routed FOR VALUES IN (3);
	CREATE TABLE TARGET_april PARTITION OF TARGET_routed FOR VALUES IN (4);
	CREATE TABLE TARGET_typed (id int, own date, at timestamptz, span interval, list int[], node xml, wide bigint);
	) =~ s/TARGET/$name/gr);
}
$target->safe_psql('postgres', 'GRANT ALL ON ALL TABLES IN SCHEMA public, app TO PUBLIC; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO PUBLIC');

# The files that COPY reads contain what a job's session on the source sends.
my $folder = PostgreSQL::Test::Utils::tempdir();
chmod 0755, $folder;
$source->safe_psql('postgres', "SET search_path = ''; SET datestyle = 'ISO'; SET intervalstyle = 'postgres';
	COPY public.plain TO '$folder/plain'; COPY (SELECT id, day FROM public.plain) TO '$folder/routed'");
my $read_file = 'GRANT pg_read_server_files TO clerk, team';
$target->safe_psql('postgres', $read_file);

# What the settings affect, as one string, printed by a session with default settings.
sub contents
{
	my ($name) = @_;
	return $target->safe_psql('postgres', qq(SELECT t FROM $name t ORDER BY id LIMIT 2; SELECT count(*), count(DISTINCT t::text) FROM $name t;
		SELECT tableoid::regclass::text = '${name}_march', count(*) FROM ${name}_routed GROUP BY 1;
		SELECT (SELECT count(*) FROM app.log), (SELECT count(*) FROM public.log)));
}

# Loads the same rows by COPY and by a job, in sessions with these settings; returns both results.
sub both_ways
{
	my ($settings) = @_;
	my %seen;
	my %loads = (
		by_copy => "COPY public.by_copy (id, day, at, span, list, node, raw, own, own_list) FROM '$folder/plain'; COPY public.by_copy_routed FROM '$folder/routed'",
		by_job  => "SELECT fastcopy.copy('$conninfo', 'public.plain', 'public.by_job', 2, statistics => false);"
		  . " SELECT fastcopy.copy('$conninfo', 'public.plain', 'public.by_job_routed', 2, columns => '{id,day}', statistics => false)");
	for my $way (sort keys %loads)
	{
		$target->safe_psql('postgres', "TRUNCATE $way, ${way}_routed, log, app.log");
		my ($status, $stdout, $stderr) = run_verbose($target, "$settings; $loads{$way}; COMMIT");
		$seen{$way} = 'error: ' . error_parts($stderr)->{sqlstate} . "\n" . contents($way);
	}
	return \%seen;
}

my $base = "SET datestyle = 'ISO, DMY'";
my $based = both_ways($base)->{by_copy};
like($based, qr/^error: \n.*\nf\|6\n/s, 'COPY with the DateStyle that the data needs');
like(both_ways('BEGIN')->{by_copy}, qr/^error: 23514/, 'COPY without it');

# Each setting changes what COPY stores or whether it fails.
my @settings = (
	"SET datestyle = 'ISO, MDY'", "SET datestyle = 'SQL, DMY'", "SET datestyle = 'German'", "SET datestyle = 'Postgres, YMD'",
	"SET intervalstyle = 'sql_standard'", "SET intervalstyle = 'iso_8601'",
	"SET timezone = 'Asia/Kolkata'", "SET timezone = 'America/New_York'", "SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE",
	'SET search_path = app, public', "SET search_path = public, app",
	"SET xmloption = 'document'", "SET xmlbinary = 'hex'", 'SET array_nulls = off', 'SET transform_null_equals = on',
	"SET bytea_output = 'escape'", 'SET extra_float_digits = -10', "SET backslash_quote = off",
	'SET standard_conforming_strings = off', 'SET quote_all_identifiers = on',
	"SET default_text_search_config = 'simple'", "SET app.tenant = 'acme'", q(SELECT set_config('app.tenant', 'o''brien "x"', false)),
	"SET app.strict = 'on'", "SET session_replication_role = 'replica'",
	'SET ROLE clerk', 'SET ROLE clerk; SET row_security = off', 'SET ROLE team', "SET ROLE team; SET datestyle = 'SQL, DMY'",
	"SET plpgsql.variable_conflict = 'use_variable'", "LOAD 'plpgsql'; SET plpgsql.variable_conflict = 'use_column'",
	"BEGIN; SET LOCAL timezone = 'Asia/Kathmandu'; SET LOCAL app.tenant = 'local'");
for my $setting (@settings)
{
	my $seen = both_ways("$base; $setting");
	is($seen->{by_job}, $seen->{by_copy}, "$setting: as COPY does");
	isnt($seen->{by_copy}, $based, "$setting: makes a difference");
}

# Settings of each origin.
my $ask = "SELECT DISTINCT at, tenant FROM by_job";
my $copy = "SELECT fastcopy.copy('$conninfo', 'public.plain', 'by_job', 2, truncate => true, statistics => false)";
{
	local $ENV{PGOPTIONS} = "-c timezone=Asia/Kolkata -c datestyle=DMY -c app.tenant=options";
	$target->safe_psql('postgres', $copy);
}
is($target->safe_psql('postgres', $ask), '2024-01-15 06:30:00+00|options', 'settings of PGOPTIONS');
{
	local $ENV{PGTZ} = 'Asia/Tokyo';
	local $ENV{PGDATESTYLE} = 'SQL, DMY';
	$target->safe_psql('postgres', $copy);
}
is($target->safe_psql('postgres', $ask), '2024-01-15 03:00:00+00|', 'settings of PGTZ and PGDATESTYLE');
$target->safe_psql('postgres', qq(CREATE FUNCTION pull() RETURNS bigint LANGUAGE sql SET timezone = 'Asia/Kolkata' SET datestyle = 'DMY' SET app.tenant = 'clause'
	AS \$\$$copy\$\$; SET app.tenant = 'session'; SELECT pull()));
is($target->safe_psql('postgres', $ask), '2024-01-15 06:30:00+00|clause', q(settings of a function's SET clause));
$target->safe_psql('postgres', q(ALTER ROLE CURRENT_USER SET datestyle = 'DMY'; ALTER DATABASE postgres SET app.tenant = 'database'));
$target->safe_psql('postgres', $copy);
is($target->safe_psql('postgres', $ask), '2024-01-15 12:00:00+00|database', 'settings of role and database');
$target->safe_psql('postgres', q(ALTER ROLE CURRENT_USER RESET datestyle; ALTER DATABASE postgres RESET app.tenant));

# Values of types that the target has arrive unchanged, in binary and in text.
my $print = q(SET datestyle = 'ISO'; SELECT string_agg(t::text, E'\n' ORDER BY id) FROM %s t);
my $right = $source->safe_psql('postgres', sprintf $print, 'typed');
for my $setting (grep { !/ROLE/ && /datestyle|intervalstyle|timezone|xmloption|array_nulls/ } @settings)
{
	for my $columns ('id, own, at, span, list, node', '*')
	{
		my $into = $columns eq '*' ? 'by_job_typed' : 'by_copy_typed_binary';
		$target->safe_psql('postgres', 'DROP TABLE IF EXISTS by_copy_typed_binary; CREATE TABLE by_copy_typed_binary (LIKE by_copy_typed); ALTER TABLE by_copy_typed_binary ALTER wide TYPE int; TRUNCATE by_job_typed');
		$target->safe_psql('postgres', "$setting; SELECT fastcopy.copy('$conninfo', 'public.typed', 'public.$into', 1, statistics => false)");
		is($target->safe_psql('postgres', sprintf $print, $into), $right, "$setting: values of the same types arrive in " . ($columns eq '*' ? 'text' : 'binary'));
	}
}

# A resumed job keeps its settings, whoever resumes it and with whichever settings.
$target->safe_psql('postgres', q(
	CREATE TABLE slow (id int, day date, at timestamptz, tenant text DEFAULT current_setting('app.tenant', true));
	CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN IF NEW.id = 3 THEN PERFORM pg_advisory_xact_lock_shared(70); END IF; RETURN NEW; END$$;
	CREATE TRIGGER gate BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION gate();
	GRANT ALL ON slow TO PUBLIC));
my $gate = $target->background_psql('postgres');
$gate->query_safe('SELECT pg_advisory_lock(70)');
my $job = $target->safe_psql('postgres', "SET ROLE clerk; SET timezone = 'Asia/Kolkata'; SET datestyle = 'SQL, DMY'; SET app.tenant = 'only-for-clerk';
	SELECT fastcopy.start('$conninfo', 'public.plain', 'public.slow', 2, columns => '{id,day,at}', statistics => false)");
ok(defined seconds_until(sub { $target->safe_psql('postgres', q(SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND backend_type = 'fastcopy worker')) eq '1' }),
	'a job comes to its gate');
unlike($target->safe_psql('postgres', q(SELECT string_agg(a::text, ' ') FROM pg_stat_activity a WHERE backend_type LIKE 'fastcopy%')), qr/only-for|Kolkata/,
	'pg_stat_activity shows no setting');
$target->safe_psql('postgres', "SELECT fastcopy.cancel($job)");
wait_state($target, $job, 'cancelled');
$gate->quit;
is($target->safe_psql('postgres', "SET timezone = 'America/New_York'; SET app.tenant = 'another'; SELECT fastcopy.resume($job, '$conninfo'); SELECT fastcopy.wait($job)"),
	"$job\ndone", 'it is resumed by a session of other settings');
is($target->safe_psql('postgres', 'SELECT DISTINCT day, at, tenant FROM slow'), '2024-04-03|2024-01-15 06:30:00+00|only-for-clerk', '... and has its own');
my $settings_of = "SELECT name, value FROM fastcopy.settings WHERE job = $job AND name IN ('app.tenant', 'DateStyle') ORDER BY name";
is($target->safe_psql('postgres', $settings_of), "DateStyle|SQL, DMY\napp.tenant|only-for-clerk", 'a superuser may read them');
is($target->safe_psql('postgres', $settings_of, extra_params => [ '-U', 'clerk' ]), "DateStyle|SQL, DMY\napp.tenant|only-for-clerk", 'so may the owner');
$target->safe_psql('postgres', 'CREATE ROLE watcher LOGIN; GRANT pg_read_all_stats, pg_signal_backend TO watcher');
is($target->safe_psql('postgres', "SELECT count(*) FROM fastcopy.status WHERE job = $job; SELECT count(*) FROM fastcopy.settings", extra_params => [ '-U', 'watcher' ]), "1\n0",
	'a role that sees the job but does not own it may not');
$target->safe_psql('postgres', "SELECT fastcopy.forget($job)");
is($target->safe_psql('postgres', "SELECT count(*) FROM fastcopy.settings WHERE job = $job"), '0', 'a forgotten job has no settings');

# A placeholder that anybody may set is not valid once its library restricts it. Nor is a setting of another job.
$target->safe_psql('postgres', q(
	CREATE TABLE loads (id int, duration text);
	GRANT ALL ON loads TO PUBLIC;
	CREATE FUNCTION load_it() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN LOAD 'auto_explain'; END$$;
	CREATE FUNCTION loads() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN PERFORM load_it(); NEW.duration := current_setting('auto_explain.log_min_duration'); RETURN NEW; END$$;
	CREATE TRIGGER loads BEFORE INSERT ON loads FOR EACH ROW EXECUTE FUNCTION loads()));
$target->safe_psql('postgres', "SET auto_explain.log_min_duration = 0; SELECT fastcopy.copy('$conninfo', 'public.plain', 'loads', 1, columns => '{id}', statistics => false)",
	extra_params => [ '-U', 'clerk' ]);
is($target->safe_psql('postgres', 'SELECT DISTINCT duration FROM loads'), '-1', q(a placeholder does not get around its library's privileges));
$target->safe_psql('postgres', "TRUNCATE loads; SET auto_explain.log_min_duration = 77; SELECT fastcopy.copy('$conninfo', 'public.plain', 'loads', 1, columns => '{id}', statistics => false)");
is($target->safe_psql('postgres', 'SELECT DISTINCT duration FROM loads'), '77ms', '... and holds where it was set by a superuser');
$target->safe_psql('postgres', "TRUNCATE by_job; SET datestyle = 'DMY'; SELECT fastcopy.copy('$conninfo', 'public.plain', 'by_job', 1, statistics => false)");
is($target->safe_psql('postgres', $ask), '2024-01-15 12:00:00+00|', 'the next job does not have these');
for my $node ($source, $target)
{
	unlike(slurp_file($node->logfile), qr/only-for-clerk|Asia\/Kolkata|acme/, 'no setting in the log of the ' . $node->name);
}
no_leftovers($source, $target, 'settings');
done_testing();
