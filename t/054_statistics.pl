# ANALYZE at the end of a job: of a partitioned target, several workers analyze each leaf once, and then the tables
# above.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair();
my $conninfo = conninfo($source);

$source->safe_psql('postgres', 'CREATE TABLE t AS SELECT g AS id, g % 7 AS kind FROM generate_series(1, 8000) g');
$target->safe_psql('postgres', q(
	CREATE TABLE t (id int, kind int) PARTITION BY RANGE (id);
	CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (MINVALUE) TO (4001) PARTITION BY LIST (kind);
	CREATE TABLE t_low_0 PARTITION OF t_low FOR VALUES IN (0);
	CREATE TABLE t_low_rest PARTITION OF t_low DEFAULT;
	CREATE TABLE t_high PARTITION OF t FOR VALUES FROM (4001) TO (MAXVALUE);
	ALTER SYSTEM SET autovacuum = off));
$target->reload;

$target->safe_psql('postgres', 'CREATE SEQUENCE started');

is($target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 't', 't', 3)"), '8000', 'a partitioned target is copied');
is($target->safe_psql('postgres', q(SELECT relname, reltuples FROM pg_class WHERE relname ~ '^t(_|$)' AND relkind IN ('r', 'p') ORDER BY 1)),
	"t|8000\nt_high|4000\nt_low|4000\nt_low_0|571\nt_low_rest|3429", 'each table has its number of rows');
is($target->safe_psql('postgres', q(SELECT tablename, inherited, count(*) FROM pg_stats WHERE tablename ~ '^t(_|$)' GROUP BY 1, 2 ORDER BY 1)),
	"t|t|2\nt_high|f|2\nt_low|t|2\nt_low_0|f|2\nt_low_rest|f|2", '... and statistics of each column');
ok($target->poll_query_until('postgres', q(SELECT count(*) = 3 FROM pg_stat_user_tables WHERE relname IN ('t_low_0', 't_low_rest', 't_high') AND analyze_count > 0)),
	'each leaf is analyzed');
is($target->safe_psql('postgres', q(SELECT DISTINCT analyze_count FROM pg_stat_user_tables WHERE relname IN ('t_low_0', 't_low_rest', 't_high'))), '1', '... once');

# Several at a time: the expression of each leaf waits until another leaf is being sampled.
$target->safe_psql('postgres', q(
	CREATE FUNCTION meet(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
	BEGIN
		IF current_setting('fastcopy_test.met', true) IS NULL OR current_setting('fastcopy_test.met', true) = '' THEN
			PERFORM nextval('public.started');
			PERFORM set_config('fastcopy_test.met', 'yes', true);
			FOR i IN 1..1000 LOOP
				EXIT WHEN (SELECT last_value FROM public.started) >= 3;
				PERFORM pg_sleep(0.01);
			END LOOP;
			IF (SELECT last_value FROM public.started) < 3 THEN RAISE 'nobody else has come'; END IF;
		END IF;
		RETURN n;
	END$$;
	TRUNCATE t));
$target->safe_psql('postgres', q(CREATE STATISTICS met ON (public.meet(kind)), id FROM t_high; CREATE STATISTICS met_too ON (public.meet(kind)), id FROM t_low_rest; CREATE STATISTICS met_three ON (public.meet(kind)), id FROM t_low_0));
my ($code, $rows, $stderr) = $target->psql('postgres', "SELECT fastcopy.copy('$conninfo', 't', 't', 3)");
is("$rows $stderr", '8000 ', 'leaves are copied and analyzed');
is($target->safe_psql('postgres', q(SELECT last_value, (SELECT count(*) FROM pg_stats_ext_exprs WHERE statistics_name LIKE 'met%') FROM started)), '3|3', '... three at a time');

# An error in one leaf is only logged.
$target->safe_psql('postgres', q(CREATE OR REPLACE FUNCTION meet(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE 'no statistics of this'; END$$; TRUNCATE t));
is($target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 't', 't', 3)"), '8000', 'a job is done where a leaf cannot be analyzed');
like(slurp_file($target->logfile), qr/WARNING:  fastcopy could not analyze partition with OID \d+ of public\.t: no statistics of this/, '... and the server log has a WARNING');

no_leftovers($source, $target, 'at the end');
done_testing();
