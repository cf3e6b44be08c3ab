# Workers that get in each other's way become fewer by themselves; figures tell rows read from rows stored; an error about
# a value that is too large as text names the column that made rows go as text.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair(target_conf => "deadlock_timeout = '100ms'\n");
my $conninfo = conninfo($source);

sub both
{
	my ($sql) = @_;
	$_->safe_psql('postgres', $sql) for $source, $target;
	return;
}

# A trigger that counts per customer: workers lock the same few rows, in any order.
both('CREATE TABLE orders (id int, customer int, note text)');
$source->safe_psql('postgres', q(INSERT INTO orders SELECT g, g * 7919 % 51, repeat('x', 40) FROM generate_series(1, 20000) g));
$target->safe_psql('postgres', q(
	CREATE TABLE counts (customer int PRIMARY KEY, n bigint);
	CREATE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO counts VALUES (NEW.customer, 1) ON CONFLICT (customer) DO UPDATE SET n = counts.n + 1;
		RETURN NULL;
	END$$;
	CREATE TRIGGER count_it AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION count_it()));
is($target->safe_psql('postgres', "SET fastcopy.chunk_size = '64kB'; SET fastcopy.retry_limit = 0; SELECT fastcopy.copy('$conninfo', 'orders', 'orders', 4)"), '20000',
	'workers that wait for each other, without a retry to spare');
is($target->safe_psql('postgres', 'SELECT (SELECT count(*) FROM orders), (SELECT sum(n) FROM counts)'), '20000|20000', '... and each row was counted once');
like($target->safe_psql('postgres', 'SELECT notice FROM fastcopy.status'),
	qr/^\d+ deadlocks or serialization failures between workers: it goes on with [12] of 4$/, '... and the status says with how many');

# Rows that a trigger routes elsewhere or drops.
$source->safe_psql('postgres', q(CREATE TABLE m (id int, d date); INSERT INTO m SELECT g, date '2023-01-01' + g % 200 FROM generate_series(1, 1000) g));
$target->safe_psql('postgres', q(
	CREATE TABLE m (id int, d date);
	CREATE TABLE m1 () INHERITS (m);
	CREATE FUNCTION mi() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_advisory_xact_lock_shared(72) WHERE NEW.id = 900; INSERT INTO m1 VALUES (NEW.*); RETURN NULL; END$$;
	CREATE TRIGGER t BEFORE INSERT ON m FOR EACH ROW EXECUTE FUNCTION mi()));
is($target->safe_psql('postgres', "SELECT fastcopy.copy('$conninfo', 'm', 'm', 2)"), '1000', 'copy returns the rows it has read');
is($target->safe_psql('postgres', 'SELECT rows_copied, rows_stored FROM fastcopy.status ORDER BY job DESC LIMIT 1'), '1000|0', '... and the status has those that the table took, too');
is($target->safe_psql('postgres', "SELECT source_rows, target_rows, differs FROM fastcopy.compare('$conninfo', 'm', 'm') WHERE range = 'total'"), '1000|1000|f', 'compare counts the rows of the children');
my $gate = $target->background_psql('postgres');
$gate->query_safe('SELECT pg_advisory_lock(72)');
$target->safe_psql('postgres', 'TRUNCATE m');
my $job = $target->safe_psql('postgres', "SET fastcopy.chunk_size = '8kB'; SELECT fastcopy.start('$conninfo', 'm', 'm', 2)");
ok(defined seconds_until(sub { $target->safe_psql('postgres', "SELECT chunks - chunks_done FROM fastcopy.status WHERE job = $job") eq '1' }), 'a job stops at its gate');
$target->safe_psql('postgres', "SELECT fastcopy.cancel($job)");
wait_state($target, $job, 'cancelled');
$gate->quit;
is($target->safe_psql('postgres', "SELECT fastcopy.resume($job); SELECT fastcopy.wait($job); SELECT count(*), count(DISTINCT id) FROM m; SELECT rows_copied, rows_stored FROM fastcopy.status WHERE job = $job"),
	"$job\ndone\n1000|1000\n1000|0", '... and is resumed: each row is there once');

# A large value in a table that goes as text because of another column.
$source->safe_psql('postgres', q(CREATE VIEW bt AS SELECT 1 AS id, '1.00'::money AS price, convert_to(repeat('a', 540 * 1024 * 1024), 'UTF8') AS b));
$target->safe_psql('postgres', 'CREATE TABLE bt (id int, price money, b bytea)');
fails_with($target, "SELECT fastcopy.copy('$conninfo', 'bt', 'bt', 1)", 'XX000', qr/invalid memory alloc request size/, 'a value that is too large as text',
	context => qr/rows are sent as text.* because of the type of column "price"/);

no_leftovers($source, $target, 'conflicts and figures');
done_testing();
