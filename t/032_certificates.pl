# The certificate of the server's account is not lent: libpq finds it by itself in that account's home, and a source
# may ask for one besides the password. It serves superusers only.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# An authority, a server and a client that it vouches for. The client's is where libpq looks for it.
my $dir = PostgreSQL::Test::Utils::tempdir();
my $home = "$dir/home";
sub openssl { return system('openssl', @_) == 0 }
mkdir $_ for $home, "$home/.postgresql";
my $made = openssl(qw(req -new -x509 -days 2 -nodes -subj /CN=authority), '-keyout', "$dir/ca.key", '-out', "$dir/ca.crt");
for my $name ('127.0.0.1', 'reader')
{
	$made &&= openssl(qw(req -new -nodes -subj), "/CN=$name", '-keyout', "$dir/$name.key", '-out', "$dir/$name.csr")
	  && openssl(qw(x509 -req -days 2), '-in', "$dir/$name.csr", '-CA', "$dir/ca.crt", '-CAkey', "$dir/ca.key",
		'-CAcreateserial', '-out', "$dir/$name.crt");
}
plan skip_all => 'openssl makes no certificates here' unless $made;
rename "$dir/reader.crt", "$home/.postgresql/postgresql.crt" or die $!;
rename "$dir/reader.key", "$home/.postgresql/postgresql.key" or die $!;
chmod 0600, "$dir/127.0.0.1.key", "$home/.postgresql/postgresql.key";

# TLS is spoken over TCP only.
$ENV{HOME} = $home;
my ($source, $target) = start_pair(
	source_conf => "listen_addresses = '127.0.0.1'\n");
plan skip_all => 'the server speaks no TLS'
  if $source->safe_psql('postgres', q(SELECT setting FROM pg_settings WHERE name = 'ssl_library')) eq '';
add_scram_role($source, 'reader');
my $hba = $source->data_dir . '/pg_hba.conf';
unlink $hba;
append_to_file($hba, "hostssl all reader all scram-sha-256 clientcert=verify-full\nlocal all all trust\n");
$source->append_conf('postgresql.conf',
	"ssl = on\nssl_ca_file = '$dir/ca.crt'\nssl_cert_file = '$dir/127.0.0.1.crt'\nssl_key_file = '$dir/127.0.0.1.key'\n");
$source->restart;

$source->safe_psql('postgres', q(
	CREATE TABLE items AS SELECT g AS id FROM generate_series(1, 100) g;
	GRANT SELECT ON items TO reader));
$target->safe_psql('postgres', q(
	CREATE TABLE items (id integer);
	CREATE ROLE loader LOGIN;
	GRANT INSERT ON items TO loader;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fastcopy TO loader));
my $copy = 'SELECT '
  . call_sql('copy', $source, source => conninfo($source, host => '127.0.0.1', user => 'reader', password => 'sesame'),
	statistics => 'false');

is($target->safe_psql('postgres', $copy), '100', 'a superuser has the certificate of the account');
fails_with($target, $copy, '08001', qr/^could not connect to the source server$/, 'who is no superuser has not',
	user => 'loader', detail => qr/requires a valid client certificate/);
no_leftovers($source, $target, 'in the end');
done_testing();
