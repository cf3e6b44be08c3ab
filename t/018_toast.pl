# Large values are compressed with lz4 where nobody has chosen: not where the column, the role or the database
# has, and not when it is switched off. What arrives is the same either way.

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

$target->safe_psql('postgres', 'CREATE TABLE probe (v text COMPRESSION pglz)');
my ($result) = $target->psql('postgres', 'ALTER TABLE probe ALTER COLUMN v SET COMPRESSION lz4');
plan skip_all => 'this server was built without lz4' if $result != 0;

$source->safe_psql('postgres',
	"CREATE TABLE large AS SELECT i, repeat('row ' || i || ' ', 2000) AS v FROM generate_series(1, 20) i");

# How the values of a fresh copy are compressed.
my $compression_of_copy = sub {
	my ($column, @settings) = @_;
	$target->safe_psql('postgres', join('; ',
		'DROP TABLE IF EXISTS large', "CREATE TABLE large (i integer, v text $column)"));
	$target->safe_psql('postgres', join('; ', @settings,
		"SELECT fastcopy.copy('$conninfo', 'large', 'large', 1)"));
	is(table_digest($target, 'large'), table_digest($source, 'large'), 'the values are the same');
	return $target->safe_psql('postgres', 'SELECT DISTINCT pg_column_compression(v) FROM large');
};

is($compression_of_copy->(''), 'lz4', 'nobody has chosen');
is($compression_of_copy->('COMPRESSION pglz'), 'pglz', 'the column has chosen');
# From version 19 on, lz4 is what the server chooses itself.
my $default = $target->safe_psql('postgres', q(SELECT boot_val FROM pg_settings WHERE name = 'default_toast_compression'));
is($compression_of_copy->('', 'SET fastcopy.lz4_toast = off'), $default, 'switched off');
$target->safe_psql('postgres', 'ALTER DATABASE postgres SET default_toast_compression = pglz');
is($compression_of_copy->(''), 'pglz', 'the database has chosen');

done_testing();
