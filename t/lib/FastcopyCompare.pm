# Copies a table with several numbers of workers and checks that each copy equals its source.
#
# Tests of equality differ in the table only. This module compares the rows of both sides, as text, in byte order,
# hashed by this process. The servers only print them; settings at the start of the session determine the output of
# values, as some tests give a role or a database unusual ones.
#
# Files that use it contain UTF-8 as bytes (no "use utf8"), as psql reads and writes it.
#
# A case is one Test::More test whatever its numbers of workers, so that a file's plan is its list of cases; the
# differences are in the diagnostics.
package FastcopyCompare;

use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use Exporter 'import';
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(copies_equal rows_of sql_string);

# The settings with which two servers print a value alike.
my $plain_output = q(
SET client_encoding = 'UTF8';
SET search_path = public;
SET datestyle = 'ISO, MDY';
SET intervalstyle = 'postgres';
SET timezone = 'UTC';
SET bytea_output = 'hex';
SET extra_float_digits = 3;
SET lc_monetary = 'C';
SET default_transaction_read_only = off;
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
DO 'BEGIN PERFORM set_config(name, ''0'', false) FROM pg_settings WHERE name IN (''idle_session_timeout'', ''transaction_timeout''); END';
);

# A string as an SQL literal, whatever its characters.
sub sql_string
{
	my ($string) = @_;
	$string =~ s/'/''/g;
	$string =~ s/\\/\\\\/g;
	return "E'$string'";
}

# The statement that prints the rows of a query as text, in byte order.
sub _print_rows
{
	my ($query) = @_;
	return qq(COPY (SELECT q::text FROM ($query) q ORDER BY q::text COLLATE "C") TO STDOUT;\n);
}

sub _hash
{
	my (@lines) = @_;
	return scalar(@lines) . ' rows ' . md5_hex(join "\n", @lines);
}

# The rows of a query, as "n rows hash".
sub rows_of
{
	my ($node, $query, $dbname) = @_;
	my $printed = $node->safe_psql($dbname || 'postgres', $plain_output . _print_rows($query));
	return _hash(split /\n/, $printed);
}

# Asserts, as one test, that fastcopy.copy makes the target table equal to the source table with each
# number of workers. Arguments:
#
#   name                   of the case
#   from, to               tables, as in SQL; `to` defaults to `from`
#   args                   further arguments of fastcopy.copy, as SQL; truncate => true is added
#   expected, actual       queries whose results are compared; SELECT * FROM the table by default
#   workers                array reference; 1, 2, 4 and 8 by default; with sanitizers and under valgrind, where each
#                          copy takes long and they watch each process by itself, 3
#   chunk_size             of fastcopy.chunk_size, in kB; 8 by default: a chunk is a block
#   kinds                  what fastcopy.chunks must say, e.g. 'nulls,range'; not looked at by default
#   min_chunks, max_chunks likewise
#   format                 binary or text
#   rows                   what fastcopy.copy must return; the number of expected rows by default
#   source_words           hash reference: more words for the connection string
#   source_dbname, target_dbname, user (on the target)
sub copies_equal
{
	my ($source, $target, %case) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $to            = defined $case{to} ? $case{to} : $case{from};
	my $source_dbname = $case{source_dbname} || 'postgres';
	my $target_dbname = $case{target_dbname} || 'postgres';
	my $expected      = rows_of($source, $case{expected} || "SELECT * FROM $case{from}", $source_dbname);
	my ($rows_expected) = $expected =~ /^(\d+)/;
	$rows_expected = $case{rows} if defined $case{rows};
	my @workers  = @{ $case{workers} || (defined $ENV{FASTCOPY_TEST_UNDER} ? [3] : [ 1, 2, 4, 8 ]) };
	my $conninfo = conninfo($source, dbname => $source_dbname, %{ $case{source_words} || {} });
	my $args     = defined $case{args} ? ", $case{args}" : '';

	my $script = $plain_output . 'SET fastcopy.chunk_size = ' . (defined $case{chunk_size} ? $case{chunk_size} : 8) . ";\n";
	for my $workers (@workers)
	{
		$script .= "SELECT coalesce(max(job), 0) AS before FROM fastcopy.status \\gset\n\\echo == $workers\n"
		  . sprintf("SELECT fastcopy.copy(%s, %s, %s, %d, truncate => true%s);\n",
			sql_string($conninfo), sql_string($case{from}), sql_string($to), $workers, $args)
		  . "\\echo == rows\n"
		  . _print_rows($case{actual} || "SELECT * FROM $to")
		  . "\\echo == status\n"
		  . q(SELECT s.state, s.format, count(c.chunk), string_agg(DISTINCT c.kind, ',' ORDER BY c.kind),
		             s.chunks_done, s.rows_copied
		      FROM fastcopy.status s LEFT JOIN fastcopy.chunks c USING (job)
		      WHERE s.job > :before GROUP BY 1, 2, 5, 6;) . "\n";
	}
	my ($stdout, $stderr) = ('', '');
	$target->psql(
		$target_dbname, $script,
		stdout        => \$stdout,
		stderr        => \$stderr,
		on_error_stop => 0,
		on_error_die  => 0,
		extra_params  => defined $case{user} ? [ '-U', $case{user} ] : []);

	# The rest of the output is missing if the session has ended.
	my @wrong;
	my $tried = 0;
	my ($before, @outputs) = split /^== (\d+)\n/m, "$stdout\n";
	while (my ($workers, $output) = splice @outputs, 0, 2)
	{
		my ($returned, $rows, $status) = split /^== (?:rows|status)\n/m, $output // '';
		$_ //= '' for $returned, $rows, $status;
		s/\n+\z// for $returned, $rows, $status;
		$tried++;
		my $actual = _hash(split /\n/, $rows);
		push @wrong, "$workers workers: copy() returned '$returned', not $rows_expected"
		  if $returned ne $rows_expected;
		push @wrong, "$workers workers: the table has $actual, not $expected"
		  if $actual ne $expected;
		my ($state, $format, $chunks, $kinds, $done, $copied) = split /\|/, $status || '';
		if (!defined $copied)
		{
			push @wrong, "$workers workers: there is no job";
			next;
		}
		push @wrong, "$workers workers: $done of $chunks chunks are done, $copied rows"
		  if $done ne $chunks || $copied ne $rows_expected;
		push @wrong, "$workers workers: format is $format, not $case{format}"
		  if defined $case{format} && $format ne $case{format};
		push @wrong, "$workers workers: chunks are $kinds, not $case{kinds}"
		  if defined $case{kinds} && $kinds ne $case{kinds};
		push @wrong, "$workers workers: there are $chunks chunks, not $case{min_chunks} or more"
		  if defined $case{min_chunks} && $chunks < $case{min_chunks};
		push @wrong, "$workers workers: there are $chunks chunks, not $case{max_chunks} or fewer"
		  if defined $case{max_chunks} && $chunks > $case{max_chunks};
	}
	push @wrong, "only $tried copies were tried" if $tried != @workers;
	my $result = ok(!@wrong, $case{name});
	diag join("\n", @wrong), ($stderr ne '' ? "\n$stderr" : '') if !$result;
	return $result;
}

1;
