# The fast insert path stores what COPY FROM stores, and raises the same errors, for tables of random shapes (see
# FastcopyShapes). COPY in psql copies the same bytes into a twin of the target; then each row, its leaf and each
# error are compared.
#
#   FASTCOPY_RANDOM_SECONDS   how long to go on (default: 5) after the cases of a fixed seed
#   FASTCOPY_RANDOM_SEED      instead of a random seed; no fixed one is run then
#   FASTCOPY_RANDOM_CASE      with a seed: this case alone, whose SQL is shown
#
# scripts/test random SECONDS [SEED [CASE]] sets these.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyShapes;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $fixed_seed  = 944875305;
my $fixed_cases = 25;
my $seconds     = $ENV{FASTCOPY_RANDOM_SECONDS} || 5;
my $given_seed  = $ENV{FASTCOPY_RANDOM_SEED};
my $given_case  = $ENV{FASTCOPY_RANDOM_CASE};

# Source and target are two databases of one server; a case takes two connections and one job.
my $node = PostgreSQL::Test::Cluster->new('node');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf',
	"autovacuum = off\nmax_worker_processes = 24\nlog_min_messages = debug1\nwal_writer_delay = 10ms\n");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE src');
$node->safe_psql($_, $FastcopyShapes::prerequisites) foreach 'postgres', 'src';
my $has_amcheck = $node->safe_psql('postgres', q(SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'));
$node->safe_psql('postgres', 'CREATE EXTENSION pg_fastcopy; CREATE SCHEMA f; CREATE SCHEMA c;'
	  . ($has_amcheck ? 'CREATE EXTENSION amcheck;' : '') . q(
	CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN
		EXECUTE format('INSERT INTO %I.seen VALUES ($1)', TG_TABLE_SCHEMA) USING NEW.rn;
		NEW.u := NEW.u + 1;
		RETURN NEW;
	END$$;
	CREATE FUNCTION public.see_all() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN
		EXECUTE format('INSERT INTO %I.seen SELECT rn FROM stored', TG_TABLE_SCHEMA);
		RETURN NULL;
	END$$));
my $conninfo = conninfo($node, dbname => 'src');
my $version  = major_version($node);
my $file     = $node->basedir . '/rows.copy';

# Rows that only one of them has, or that differ in leaf or content; and corrupt heaps and indexes.
my $rows = 'SELECT (SELECT relname FROM pg_class WHERE oid = t.tableoid) AS leaf, t.rn, t AS whole FROM %s.t';
my $compare = 'SELECT count(*), min(rn) FROM (' . sprintf($rows, 'f') . ') f FULL JOIN (' . sprintf($rows, 'c') . q() . ') c USING (rn)
	WHERE f.leaf IS DISTINCT FROM c.leaf OR record_image_ne(f.whole, c.whole);
	SELECT count(*) FROM ((TABLE f.seen EXCEPT ALL TABLE c.seen) UNION ALL (TABLE c.seen EXCEPT ALL TABLE f.seen)) s;'
  . ($has_amcheck ? q(
	SELECT count(bt_index_check(i.indexrelid, true)) * 0 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
	WHERE c.relkind = 'i' AND c.relnamespace = 'f'::regnamespace;
	SELECT count(v) FROM pg_class c, LATERAL verify_heapam(c.oid) v
	WHERE c.relkind = 'r' AND c.relnamespace = 'f'::regnamespace;) : 'VALUES (0), (0);');
my $same = "0|\n0\n0\n0";

# The parts of an error that must be the same: without the name of the job's chunk and the schema.
sub error_of
{
	my ($stderr) = @_;
	my $error = error_parts($stderr);
	return '' if $error->{sqlstate} eq '';
	my $context = join "\n", grep { /^(?:COPY|SQL|PL)/ } split /\n/, $error->{context};
	return "$error->{sqlstate}: $error->{message}\n$error->{detail}\n$context" =~ s/"[fc]\./"/gr;
}

my %count = (plain => 0, copy => 0, refused => 0);

sub run_case
{
	my ($seed, $number) = @_;
	my $case    = random_case($seed, $number, $version);
	my $columns = join ', ', @{ $case->{columns} };
	my $array   = $case->{source} =~ /left_out/ ? "ARRAY['" . join("', '", @{ $case->{columns} }) . "']" : 'NULL';
	# The line of a bad row is its number in the chunk; without a bad row, there may be several chunks.
	my $chunks = $case->{bad} || $number % 3 != 0 ? '1GB' : '64kB';
	my $make   = "SET client_min_messages = error; DROP SCHEMA f, c CASCADE; RESET client_min_messages;\n"
	  . join '', map { "CREATE SCHEMA $_; SET search_path = $_; CREATE TABLE seen (rn bigint);\n$case->{target}\n" } 'f', 'c';
	my $sql = join '', "\\set VERBOSITY verbose\n\\c src\nDROP TABLE IF EXISTS t;\n$case->{source}",
	  "COPY t ($columns) FROM STDIN;\n$case->{data}\\.\nCOPY t ($columns) TO '$file' (FORMAT binary);\n",
	  "\\c postgres\n$make\nSET search_path = public;\n",
	  "\\warn == COPY\nCOPY c.t ($columns) FROM '$file' (FORMAT binary);\n",
	  "\\warn == fastcopy\nSET fastcopy.chunk_size = '$chunks';\nSELECT fastcopy.copy('$conninfo', 'public.t', 'f.t', 1, columns => $array) * 0;\n",
	  "\\warn == compare\n$compare\n";
	my $offset = -s $node->logfile;
	my ($stdout, $stderr) = ('', '');
	$node->psql('postgres', $sql, stdout => \$stdout, stderr => \$stderr, on_error_stop => 0);
	my ($before, $by_copy, $by_fastcopy, $after) = split /^== \w+\n/m, $stderr, -1;
	my ($copy_error, $error) = (error_of($by_copy // ''), error_of($by_fastcopy // ''));
	my ($way) = slurp_file($node->logfile, $offset) =~ /DEBUG:  copying into ".*" using (.*)/;
	$way = !defined $way ? 'none' : $way eq 'multi-insert' ? 'plain' : 'copy';
	$count{$way}++;
	$count{refused}++ if $copy_error ne '';

	my @wrong;
	push @wrong, "the script: $before" if ($before // '?') =~ /ERROR|\?/;
	push @wrong, "COPY:     $copy_error\nfastcopy: $error" if $copy_error ne $error;
	(my $result = $stdout) =~ s/^0\n(?=0\|)// if $error eq '';
	$result //= $stdout;
	push @wrong, "the comparison: $result" . ($after // '') if $result ne $same;
	push @wrong, "rows went the way: $way" if $way ne ($case->{plain} ? 'plain' : 'copy') && !($way eq 'none' && $error ne '');
	ok(!@wrong, "$case->{name}: $way, " . ($copy_error eq '' ? 'stored' : 'refused ' . substr($copy_error, 0, 5)))
	  or diag join("\n", @wrong), "\nto repeat: FASTCOPY_RANDOM_SEED=$seed FASTCOPY_RANDOM_CASE=$number\n$case->{source}$case->{target}";
	diag $sql if defined $given_case;
	# A server that has crashed must stay down.
	BAIL_OUT('the server has crashed') if @wrong && $node->psql('postgres', 'SELECT 1') != 0;
	return !@wrong;
}

if (defined $given_case)
{
	run_case($given_seed, $given_case);
}
else
{
	my $seed = $given_seed // int rand 1_000_000_000;
	note "random seed: $seed";
	diag "random seed: $seed" if $ENV{FASTCOPY_RANDOM_SECONDS};
	if (!defined $given_seed)
	{
		run_case($fixed_seed, $_) foreach 1 .. $fixed_cases;
	}
	my $end    = time + $seconds;
	my $number = 0;
	while (time < $end)
	{
		run_case($seed, ++$number);
	}
	cmp_ok($count{$_}, '>', 0, "cases by kind: $_, $count{$_}") foreach sort keys %count;
}

done_testing();
