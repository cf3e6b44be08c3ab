# initdb runs once for each kind of server instead of once in each file: the first test that needs a server of that
# name and with these options keeps the result beside its data, and all others copy it, in a tenth of the time.
#
# PostgreSQL::Test::Cluster of version 16 and later has a template too, but not for clusters with options of their
# own, like ours, and with one system identifier for all. Here the servers of a file must have different ones, like
# the source and the target of a job; so each name has its own template.
package FastcopyInitdb;

use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use Fcntl qw(:flock);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

my $original_init   = PostgreSQL::Test::Cluster->can('init');
my $original_system = PostgreSQL::Test::Utils->can('system_or_bail');
our $node_name;    # of the server that init is at work on

sub _init
{
	my ($self, @params) = @_;
	local $node_name = $self->name;
	return $self->$original_init(@params);
}

# Runs a command, or copies its result.
sub _system
{
	my (@command) = @_;
	return $original_system->(@command) unless defined $node_name && $command[0] eq 'initdb';

	my ($at) = grep { $command[$_] =~ /^(?:-D|--pgdata)$/ } 0 .. $#command;
	my $data = $command[ $at + 1 ];
	my @options = @command;
	splice @options, $at, 2;
	my $template = "$PostgreSQL::Test::Utils::tmp_check/initdb_${node_name}_" . md5_hex(join "\0", @options);

	open my $lock, '>', "$template.lock" or die "could not open $template.lock: $!";
	flock $lock, LOCK_EX or die "could not lock $template.lock: $!";
	if (!-d $template)
	{
		$command[ $at + 1 ] = "$template.new";
		$original_system->(@command);
		rename "$template.new", $template or die "could not rename $template.new: $!";
	}
	close $lock;
	$original_system->('cp', '-RPp', $template, $data);
	return;
}

no warnings 'redefine';
*PostgreSQL::Test::Cluster::init         = \&_init;
*PostgreSQL::Test::Utils::system_or_bail = \&_system;

1;
