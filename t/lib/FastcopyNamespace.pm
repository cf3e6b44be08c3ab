# Runs a test in namespaces of its own, where it may mount file systems and take the network down, without
# being root:
#
#     use FastcopyNamespace '--mount';          # unshare's options; before all that starts anything
#     FastcopyNamespace::possible()             # whether it worked
#
# The test is started again under unshare, with the same user id, so that PostgreSQL does not take it for root.
# Containers often do not allow this, and some systems do not allow it to users: then the test goes on where
# it was, and skips what it cannot do.
package FastcopyNamespace;

use strict;
use warnings;

use Cwd qw(abs_path);

my $inside = delete $ENV{FASTCOPY_IN_NAMESPACE};

# At compile time, before PostgreSQL::Test::Utils has turned the output over to its log.
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
