# Runs a test in namespaces of its own, where it may mount file systems and take the network down without being root:
#
#     use FastcopyNamespace '--mount';          # unshare's options; before all that starts anything
#     FastcopyNamespace::possible()             # whether it worked
#
# The test is restarted under unshare with the same user id, so that PostgreSQL does not refuse to run as root.
# Containers often do not allow this, nor do some systems for ordinary users: then the test runs without it, and skips
# what it cannot do.
package FastcopyNamespace;

use strict;
use warnings;

use Cwd qw(abs_path);

my $inside = delete $ENV{FASTCOPY_IN_NAMESPACE};

# This runs at compile time, before PostgreSQL::Test::Utils redirects the output to its log.
sub import
{
	my (undef, @options) = @_;
	return if defined $inside;
	my @unshare = ('unshare', '--user', '--map-current-user', '--keep-caps', @options);
	$inside = 0;
	return if system("@unshare true 2>/dev/null") != 0;
	$ENV{FASTCOPY_IN_NAMESPACE} = 1;
	$ENV{PERL5LIB} = join ':', map { abs_path($_) // $_ } grep { !ref } @INC;
	exec @unshare, $^X, $0, @ARGV or die "could not run unshare: $!\n";
}

sub possible { return $inside }

1;
