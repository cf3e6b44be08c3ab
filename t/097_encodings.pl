# Databases of different encodings on both sides: what both can say is converted, and the rest is an error that names the
# chunk and the bytes. What SQL_ASCII sources can be taken for is in 091_source_encoding.pl.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyCompare;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair();
my %encoding = (utf8 => 'UTF8', latin => 'LATIN1', euc => 'EUC_JP', ascii => 'SQL_ASCII');
for my $node ($source, $target)
{
	$node->safe_psql('postgres', "CREATE DATABASE $_ ENCODING '$encoding{$_}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
	  for sort keys %encoding;
}
$target->safe_psql($_, 'CREATE EXTENSION pg_fastcopy') for sort keys %encoding;

# What an encoding can say, and what it cannot. Names are in it too.
my %words = (latin => 'größe ½ ÿ', euc => '日本語 データ ﾊﾝｶｸ', ascii => 'plain');
my %names = (latin => 'Maß', euc => '表', ascii => 'plain');

sub definition
{
	my ($of) = @_;
	return qq(CREATE TABLE "$names{$of}" (id integer PRIMARY KEY, "$names{$of}" text, words text[], doc jsonb, fixed char(12), raw bytea););
}

sub rows
{
	my ($of) = @_;
	return qq(INSERT INTO "$names{$of}" SELECT g, '$words{$of} ' || g, ARRAY['$words{$of}', 'a,"b\\c'], jsonb_build_object('$words{$of}', g),
		'$words{$of}', '\\xe4a4ff' FROM generate_series(1, 2000) g;);
}

# A database that says all of it, and one that is to.
my @pairs = (
	[ latin => 'latin', 'utf8' ], [ euc => 'euc', 'utf8' ], [ latin => 'utf8', 'latin' ], [ euc => 'utf8', 'euc' ], [ ascii => 'ascii', 'utf8' ],
	[ ascii => 'ascii', 'latin' ], [ ascii => 'utf8', 'ascii' ], [ euc => 'euc', 'euc' ], [ latin => 'latin', 'latin' ]);
for my $pair (@pairs)
{
	my ($words, $from, $to) = @$pair;
	my $name = qq("$names{$words}");
	$_->[0]->safe_psql($_->[1], "SET client_encoding = 'UTF8'; SET client_min_messages = 'error'; DROP TABLE IF EXISTS $name; " . definition($words))
	  for [ $source, $from ], [ $target, $to ];
	$source->safe_psql($from, "SET client_encoding = 'UTF8'; " . rows($words));
	my %case = (from => $name, source_dbname => $from, target_dbname => $to, workers => [3], min_chunks => 20);
	my $what = "$words, $encoding{$from} to $encoding{$to}";
	copies_equal($source, $target, name => "$what: blocks", kinds => 'blocks', %case);
	copies_equal($source, $target, name => "$what: by a key", args => "key => 'id'", %case, min_chunks => 2);
	copies_equal($source, $target, name => "$what: a filter and columns in it", %case, min_chunks => 1,
		args => qq(filter => '$name LIKE ''$words{$words} 7%''', columns => '{id,$names{$words}}'),
		expected => qq(SELECT id, $name FROM $name WHERE $name LIKE '$words{$words} 7%'), actual => "SELECT id, $name FROM $name");
	copies_equal($source, $target, name => "$what: all again", %case);
	is($target->safe_psql($to, "SET client_encoding = 'UTF8'; SELECT differs FROM fastcopy.compare('" . conninfo($source, dbname => $from)
			. "', '$name', '$name', 2) WHERE range = 'total'"), 'f', "$what: compare agrees");
}

# A row that the target cannot say, in the middle of others.
my @refused = (
	[ utf8 => 'latin', q(U&'\20AC'), '22P05', qr/character with byte sequence 0xe2 0x82 0xac in encoding "UTF8" has no equivalent in encoding "LATIN1"/ ],
	[ utf8 => 'euc', q(U&'\20AC'), '22P05', qr/character with byte sequence 0xe2 0x82 0xac in encoding "UTF8" has no equivalent in encoding "EUC_JP"/ ],
	[ ascii => 'utf8', q(convert_from('\xa4', 'SQL_ASCII')), '22021', qr/invalid byte sequence for encoding "UTF8": 0xa4/ ],
	[ ascii => 'euc', q(convert_from('\xff', 'SQL_ASCII')), '22021', qr/invalid byte sequence for encoding "EUC_JP": 0xff/ ]);
for my $case (@refused)
{
	my ($from, $to, $value, $sqlstate, $message) = @$case;
	my $what = "$encoding{$from} to $encoding{$to}";
	$_->[0]->safe_psql($_->[1], "SET client_min_messages = 'error'; DROP TABLE IF EXISTS one; CREATE TABLE one (id integer, v text)")
	  for [ $source, $from ], [ $target, $to ];
	$source->safe_psql($from, "SET client_encoding = " . ($from eq 'ascii' ? "'SQL_ASCII'" : "'UTF8'")
		  . "; INSERT INTO one SELECT g, CASE WHEN g = 1500 THEN $value ELSE 'fine' END FROM generate_series(1, 3000) g");
	my ($status, $stdout, $stderr) = run_verbose($target, 'SET fastcopy.chunk_size = 8; SELECT '
		  . call_sql('copy', $source, source => conninfo($source, dbname => $from), source_table => 'one', target_table => 'one', workers => 2), dbname => $to);
	my $error = error_parts($stderr);
	is($error->{sqlstate}, $sqlstate, "$what: the error");
	like($error->{message}, $message, "$what: says the bytes");
	like($error->{context}, qr/fastcopy chunk \d+: public\.one where ctid/, "$what: and the chunk");
	is($target->safe_psql($to, "SELECT count(*) FROM one WHERE v <> 'fine'"), 0, "$what: and nothing of it is there");
	no_leftovers($source, $target, $what, dbname => $to);
}

# PostgreSQL has no conversion between these.
fails_with($target, 'SELECT ' . call_sql('copy', $source, source => conninfo($source, dbname => 'euc'), source_table => 'one', target_table => 'one'),
	'08001', qr/could not connect to the source server/, 'EUC_JP to LATIN1', dbname => 'latin', detail => qr/conversion between LATIN1 and EUC_JP is not supported/);

done_testing();
