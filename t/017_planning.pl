# Planning asks the source for statistics and sizes, never for rows.
#
# Two things are counted. First, the statements that the coordinator sends, in the source's log: as many for a large
# table as for a small one. Second, what these statements read of the table, in the source's statistics: no sequential
# scan, and only the two ends of an index. For the latter the workers must not have read anything, so those jobs fail
# once the plan is made and before any worker starts: they have truncate => true on a table that is its own target.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair(source_conf => "log_statement = all\nlog_min_duration_statement = -1\nlog_line_prefix = '%m [%p] %q%a '\n");
my $conninfo = conninfo($source);

# The statements that coordinators have sent since that position in the log.
sub coordinator_statements
{
	my ($offset) = @_;
	my $log = slurp_file($source->logfile, $offset);
	return $log =~ /fastcopy job \d+ coordinator LOG:  (?:statement|execute [^:]*): (.*)/g;
}

my %sizes = (small => 1000, large => 400_000);
for my $size (sort keys %sizes)
{
	for my $node ($source, $target)
	{
		$node->safe_psql(
			'postgres', qq(
			CREATE TABLE plain_$size (id integer, at timestamptz, word text);
			CREATE TABLE parts_$size (id integer, at timestamptz, word text) PARTITION BY RANGE (id);
			CREATE TABLE parts_${size}_1 PARTITION OF parts_$size FOR VALUES FROM (MINVALUE) TO (500);
			CREATE TABLE parts_${size}_2 PARTITION OF parts_$size FOR VALUES FROM (500) TO (MAXVALUE)));
	}
	$source->safe_psql(
		'postgres', qq(
		INSERT INTO plain_$size SELECT g, '2024-01-01'::timestamptz + g * interval '1 second', 'word' FROM generate_series(1, $sizes{$size}) g;
		INSERT INTO parts_$size SELECT * FROM plain_$size;
		CREATE VIEW view_$size AS SELECT * FROM plain_$size;
		CREATE INDEX ON plain_$size (id);
		CREATE INDEX ON plain_$size (at);
		CREATE INDEX ON plain_$size (word);
		CREATE INDEX ON parts_$size (id)));
	$target->safe_psql('postgres', "CREATE TABLE view_$size (LIKE plain_$size)");
}

for my $analyzed (0, 1)
{
	for my $case (
		[ 'plain', 'NULL' ],     [ 'plain', q('id') ], [ 'plain', q('at') ], [ 'plain', q('word') ],
		[ 'parts', 'NULL' ],     [ 'parts', q('id') ], [ 'view',  'NULL' ])
	{
		my ($table, $key) = @$case;
		my %sent;
		for my $size (sort keys %sizes)
		{
			my $offset = -s $source->logfile;
			$target->safe_psql(
				'postgres', qq(
				SET fastcopy.chunk_size = 8;
				SELECT fastcopy.copy('$conninfo', '${table}_$size', '${table}_$size', 2, key => $key, filter => 'id < 100',
					truncate => true)));
			my @statements = coordinator_statements($offset);
			# Apart from names and bounds, they are the same.
			s/_$size/_size/g, s/\d+(?:\.0)?/n/g for @statements;
			# The number of looks at the WAL's position depends on timing.
			@statements = grep { !/pg_current_wal_flush_lsn\(\), [(]?n/ } @statements;
			$sent{$size} = \@statements;
		}
		is_deeply($sent{large}, $sent{small},
			"same statements for small and large, $table by $key" . ($analyzed ? ', analyzed' : ''));
		cmp_ok(scalar @{ $sent{small} }, '<', 60, '... which are few');
		cmp_ok(scalar @{ $sent{small} }, '>', 5, '... and there are some');
	}
	$source->safe_psql('postgres', 'ANALYZE');
}

# Now the target is its own source. Many tables have infinity at the end of a validity, or NULLs at the end of an
# index, by the million: the planner must not read all of them.
my $self = conninfo($target);
$target->safe_psql(
	'postgres', q(
	CREATE TABLE watched (id integer, sparse bigint, until timestamptz, day date, since timestamp, word text, filler text);
	INSERT INTO watched SELECT g, CASE WHEN g % 10 = 0 THEN g END,
			CASE WHEN g % 3 = 0 THEN '2024-01-01'::timestamptz + g * interval '1 second' ELSE 'infinity' END,
			CASE WHEN g % 3 = 0 THEN '2024-01-01'::date + g / 100 ELSE 'infinity' END,
			CASE WHEN g % 3 = 0 THEN '2024-01-01'::timestamp + g * interval '1 second' ELSE '-infinity' END,
			md5(g::text), 'filler'
		FROM generate_series(1, 100000) g;
	CREATE INDEX ON watched (id);
	CREATE INDEX ON watched (sparse);
	CREATE INDEX ON watched (until);
	CREATE INDEX ON watched (day);
	CREATE INDEX ON watched (since);
	CREATE INDEX ON watched (word);
	VACUUM watched));

# What all ended sessions have read of the table and its indexes.
my $touched = q(
	SELECT pg_stat_get_numscans('watched'::regclass),
	       pg_stat_get_tuples_returned('watched'::regclass) + pg_stat_get_tuples_fetched('watched'::regclass)
	       + sum(pg_stat_get_tuples_returned(indexrelid)),
	       pg_stat_get_blocks_fetched('watched'::regclass) + sum(pg_stat_get_blocks_fetched(indexrelid))
	FROM pg_index WHERE indrelid = 'watched'::regclass);
for my $analyzed (0, 1)
{
	for my $key ('NULL', map { "'$_'" } qw(id sparse until day since word))
	{
		my ($scans_before, $rows_before, $blocks_before) = split /\|/, $target->safe_psql('postgres', $touched);
		fails_with($target, qq(SET fastcopy.chunk_size = 64; SELECT fastcopy.start('$self', 'watched', 'watched', 2, key => $key, truncate => true)),
			'55006', qr/it is the source of the copy/, "plan for key $key" . ($analyzed ? ', analyzed' : ''));
		# start() returns when the coordinator has exited; its session on the source may end a moment later.
		ok( $target->poll_query_until('postgres', q(SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'fastcopy%')),
			'... its session has ended');
		# Up to version 14, a separate process collects these statistics, with a delay.
		next if major_version($target) < 15;
		my ($scans, $rows, $blocks) = split /\|/, $target->safe_psql('postgres', $touched);
		is($scans - $scans_before, 0, '... has scanned no table');
		cmp_ok($rows - $rows_before, '<', 20, '... has read no rows but at the ends of an index');
		cmp_ok($blocks - $blocks_before, '<', 60, '... has touched a few blocks only');
	}
	$target->safe_psql('postgres', 'ANALYZE watched');
}

no_leftovers($source, $target, 'all plans');
done_testing();
