# Databases of different encodings on both sides: characters that both encodings have are converted, others raise an error
# that names the chunk and the bytes, and bytes that are invalid in the target's encoding are never stored. The option
# source_encoding is in 091_source_encoding.pl.
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

# Characters that an encoding has, in values and in names.
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

# The characters, and the databases of the source and the target.
my @pairs = (
	[ latin => 'latin', 'utf8' ], [ euc => 'euc', 'utf8' ], [ latin => 'utf8', 'latin' ], [ euc => 'utf8', 'euc' ], [ ascii => 'ascii', 'utf8' ],
	[ ascii => 'ascii', 'latin' ], [ ascii => 'utf8', 'ascii' ], [ euc => 'euc', 'euc' ], [ latin => 'latin', 'latin' ], [ euc => 'utf8', 'utf8' ]);
for my $pair (@pairs)
{
	my ($words, $from, $to) = @$pair;
	my $name = qq("$names{$words}");
	$_->[0]->safe_psql($_->[1], "SET client_encoding = 'UTF8'; SET client_min_messages = 'error'; DROP TABLE IF EXISTS $name; " . definition($words))
	  for [ $source, $from ], [ $target, $to ];
	# With another width of id, rows are sent as text.
	$target->safe_psql($to, "DROP TABLE IF EXISTS as_text; SET client_encoding = 'UTF8'; CREATE TABLE as_text (LIKE $name); ALTER TABLE as_text ALTER id TYPE bigint");
	$source->safe_psql($from, "SET client_encoding = 'UTF8'; " . rows($words) . "CREATE INDEX ON $name ($name); ANALYZE $name");
	my %case = (from => $name, source_dbname => $from, target_dbname => $to, workers => [3], min_chunks => 20);
	my $what = "$words, $encoding{$from} to $encoding{$to}";
	copies_equal($source, $target, name => "$what: blocks", kinds => 'blocks', format => 'binary', %case);
	copies_equal($source, $target, name => "$what: in text", kinds => 'blocks', format => 'text', to => 'as_text', %case);
	copies_equal($source, $target, name => "$what: by a key", args => "key => 'id'", %case, min_chunks => 2);
	# Bounds of key ranges are converted too.
	copies_equal($source, $target, name => "$what: by a key of text", args => "key => '$names{$words}'", %case, kinds => 'nulls,range', min_chunks => 2);
	copies_equal($source, $target, name => "$what: a filter and columns in that encoding", %case, min_chunks => 1,
		args => qq(filter => '$name LIKE ''$words{$words} 7%''', columns => '{id,$names{$words}}'),
		expected => qq(SELECT id, $name FROM $name WHERE $name LIKE '$words{$words} 7%'), actual => "SELECT id, $name FROM $name");
	copies_equal($source, $target, name => "$what: all again", %case);
	is($target->safe_psql($to, "SET client_encoding = 'UTF8'; SELECT differs FROM fastcopy.compare('" . conninfo($source, dbname => $from)
			. "', '$name', '$name', 2) WHERE range = 'total'"), 'f', "$what: compare agrees");
}

# A row that the target's encoding does not have, in the middle of others.
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
	like($error->{message}, $message, "$what: ... names the bytes");
	like($error->{context}, qr/fastcopy chunk \d+: public\.one where ctid/, "$what: ... and the chunk");
	is($target->safe_psql($to, "SELECT count(*) FROM one WHERE v <> 'fine'"), 0, "$what: ... and the row is not stored");
	no_leftovers($source, $target, $what, dbname => $to);
}

# Bytes of SQL_ASCII are taken for text of the target's encoding if they are valid there.
$ENV{PGCLIENTENCODING} = 'UTF8';
$source->safe_psql($_, 'CREATE TABLE words (id integer, word text); CREATE INDEX ON words (word)') for qw(latin ascii utf8);
$target->safe_psql($_, 'CREATE TABLE words (id integer, word text); CREATE TABLE words_text (id bigint, word text)') for qw(latin ascii utf8);
$source->safe_psql('latin', q(INSERT INTO words SELECT g, 'caf' || chr(160 + g % 96) FROM generate_series(1, 1000) g));
$source->safe_psql('utf8', q(INSERT INTO words SELECT g, 'caf' || chr(160 + g % 96) || ' Ǆ日' FROM generate_series(1, 1000) g));
$source->safe_psql('ascii', q(SET client_encoding = 'SQL_ASCII'; INSERT INTO words SELECT g, E'caf\xc3\xa9 ' || g FROM generate_series(1, 1000) g));
$source->safe_psql($_, 'ANALYZE words') for qw(latin ascii utf8);

# A call that copies words of that database into that table.
sub copy_words
{
	my ($from, $to, $more) = @_;
	return sprintf(q(SELECT fastcopy.copy('%s', 'words', '%s'%s)), conninfo($source, dbname => $from), $to, $more // '');
}

for my $table ('words', 'words_text')
{
	my $name = $table eq 'words' ? 'binary' : 'text';
	my ($status, $stdout, $stderr) = run_verbose($target, copy_words('ascii', $table), dbname => 'utf8');
	is($stdout, '1000', "SQL_ASCII to UTF8, valid, $name") or diag $stderr;
	is($target->safe_psql('utf8', "SELECT count(*) FROM $table WHERE word = 'café ' || id"), '1000', '... and the characters are right');
	($status, $stdout, $stderr) = run_verbose($target, copy_words('latin', $table), dbname => 'ascii');
	is($stdout, '1000', "LATIN1 to SQL_ASCII, $name") or diag $stderr;
	is($target->safe_psql('ascii', qq(SELECT count(*) FROM $table WHERE word = E'caf\\xe9')),
		$source->safe_psql('latin', q(SELECT count(*) FROM words WHERE word = 'café')), '... byte by byte');
}
$source->safe_psql('ascii', qq(SET client_encoding = 'SQL_ASCII'; INSERT INTO words VALUES (7777, E'caf\\xe9')));
for my $table ('words', 'words_text')
{
	fails_with($target, copy_words('ascii', $table), '22021', qr/invalid byte sequence for encoding "UTF8"/,
		"SQL_ASCII to UTF8, invalid, into $table", dbname => 'utf8');
	fails_with($target, copy_words('utf8', $table), '22P05', qr/has no equivalent in encoding "LATIN1"/,
		"UTF8 to LATIN1, a character that it does not have, into $table", dbname => 'latin');
}
fails_with($target, copy_words('utf8', 'words', q(, key => 'word')), '22P05', qr/has no equivalent in encoding "LATIN1"/,
	'UTF8 to LATIN1, a character that it does not have, split by key', dbname => 'latin');

# PostgreSQL has no conversion between these.
fails_with($target, 'SELECT ' . call_sql('copy', $source, source => conninfo($source, dbname => 'euc'), source_table => 'one', target_table => 'one'),
	'08001', qr/could not connect to the source server/, 'EUC_JP to LATIN1', dbname => 'latin', detail => qr/conversion between LATIN1 and EUC_JP is not supported/);

done_testing();
