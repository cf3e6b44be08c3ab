# A source that asks for a password chooses the number of iterations that libpq computes, which cannot be interrupted
# (docs/security.md). The calling session is not blocked by that, and nothing is left behind when libpq has finished.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FakeSource;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $iterations = 1_500_000;    # a second or more

my ($source, $target) = start_pair();
my $fake = FakeSource->new($source, startup => sub {
	my ($c) = @_;
	$c->send(authentication(10, "SCRAM-SHA-256\0\0"));
	# SASLInitialResponse: its length, the mechanism, the length of the client's first message, and that.
	my $answer = '';
	while (length $answer < 5 || length $answer < 1 + unpack 'x N', $answer) { sysread $c->{client}, $answer, 1000, length $answer or return }
	my ($nonce) = $answer =~ /,r=([^,]+)$/ or die 'no nonce';
	$c->send(authentication(11, "r=${nonce}ours,s=c2FsdHNhbHRzYWx0,i=$iterations"));
	# The client's final message: libpq has finished.
	sysread $c->{client}, $answer, 1000;
	$c->send(error_response(S => 'FATAL', V => 'FATAL', C => '28P01', M => 'that was all'));
	$c->hang_up;
});
$source->safe_psql('postgres', 'CREATE TABLE items (id integer)');
$target->safe_psql('postgres', 'CREATE TABLE items (id integer)');
my $call = "SELECT fastcopy.start('" . $fake->conninfo(password => 'x') . "', 'items', 'items')";

my $began = time;
fails_with($target, $call, '08001', qr/^could not connect to the source server$/, 'libpq computes it', detail => qr/that was all/);
my $computed = time - $began;

# The process continues by itself.
$began = time;
fails_with($target, "SET statement_timeout = '100ms'; $call", '57014', qr/statement timeout/, 'the session that called is free');
my $called = time - $began;
is($target->safe_psql('postgres', q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fastcopy coordinator')),
	'1', 'while libpq still computes');
note sprintf '%d iterations in %.1f s; the caller was free after %.1f s', $iterations, $computed, $called;
no_leftovers($source, $target, 'when it is through', limit => 60 * $slowness);
is($target->safe_psql('postgres', 'SELECT count(*) FROM fastcopy.job'), '0', 'there is no job');
$fake->stop;
done_testing();
