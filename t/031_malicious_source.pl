# A source that sends wrong, endless or no data, or disconnects, at any point of a job. Whatever it sends, the job
#
#     - ends with an error that makes sense, or with the right rows if no harm was done,
#     - or, where the source keeps it waiting, ends soon after fastcopy.cancel,
#     - takes no more memory than a bound,
#     - crashes no process, and leaves nothing behind.
#
# The source is a real server behind FakeSource, which falsifies the conversation at one point.
#
# FASTCOPY_SCENARIO, a regular expression, selects scenarios by name; FASTCOPY_MEASURED_ONLY those that measure
# memory, which sanitized runs skip. If PG_TEST_EXTRA contains the word malicious, there are more scenarios.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FakeSource;
use FastcopyTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $cancel_limit = 10 * $slowness;       # seconds from cancel to the end
my $hang_limit   = 15 * $slowness;       # seconds until a job that should end by itself has hung
my $memory_limit = 300 * 1024 * 1024;    # of one process; a usual one has less than 10 MB, a sanitized one twice that
my $flood_bytes  = 300 * 1024 * 1024;    # what makes a flood, or
my $flood_time   = 2;                    # this many seconds of it

my $rows = 2000;

my ($source, $target) = start_pair(target_conf => "restart_after_crash = on\n");

# A key with gaps and NULLs, whose statistics are not sufficient, for tables split by ranges.
$source->safe_psql('postgres', qq(
	CREATE TABLE items (id integer, name text);
	INSERT INTO items SELECT g, 'row ' || g || repeat('x', 100) FROM generate_series(1, $rows) g;
	CREATE INDEX ON items (id);
	CREATE TABLE parted (id integer, name text) PARTITION BY RANGE (id);
	CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (1) TO (1001);
	CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (1001) TO (1000000);
	INSERT INTO parted SELECT * FROM items;
	CREATE TABLE readings (amount numeric(6,2), details jsonb);
	INSERT INTO readings SELECT g, jsonb_build_object('id', g) FROM generate_series(1, $rows) g;
	ANALYZE items));

# Differing types cause rows to be sent as text.
$target->safe_psql('postgres', q(
	CREATE TABLE items (id integer, name text);
	CREATE TABLE items_text (id bigint, name text);
	CREATE TABLE readings (amount numeric(6,2), details jsonb)));

my $right_rows = table_digest($source, 'items');

# The statements of the coordinator and of the workers.
my %question = (
	start    => qr/^startup$/,
	table    => qr/u\.name::pg_catalog\.regclass::pg_catalog\.oid/,
	settings => qr/^SET search_path/,
	begin    => qr/^BEGIN/,
	snapshot => qr/pg_export_snapshot/,
	same     => qr/^SELECT pg_catalog\.bool_and\(f\.oid = /,
	columns  => qr/pg_attribute ON attrelid/,
	probe    => qr/LIMIT 0$/,
	leaves   => qr/pg_inherits.*has_table_privilege/s,
	files    => qr/pg_inherits.*quote_ident\(c\.relname\) FROM t/s,
	plan     => qr/^EXPLAIN/,
	forget   => qr/^ROLLBACK TO SAVEPOINT explain/,
	key      => qr/pg_opclass/,
	bounds   => qr/pg_stats/,
	extremes => qr/^SELECT pg_catalog\.min/,
	locks    => qr/pg_locks/,
	import   => qr/^SET TRANSACTION SNAPSHOT/,
	copy     => qr/COPY \(/);

# Ways to falsify an answer; each returns the function that FakeSource calls for each message of it.

# Changes the fields of each row.
sub fields
{
	my ($change) = @_;
	return sub {
		my ($c, $type, $body) = @_;
		return undef if $type ne 'D';
		return data_row($change->(row_fields($body)));
	};
}

# Sets one field of each row.
sub set_field
{
	my ($number, $value) = @_;
	return fields(sub { my @fields = @_; $fields[$number] = $value; return @fields });
}

# Replaces messages of one type: each, or only the nth.
sub instead_of
{
	my ($type, $with, $nth) = @_;
	my $seen = 0;
	return sub {
		my ($c, $its_type, $body) = @_;
		return undef if $its_type ne $type;
		return undef if defined $nth && ++$seen != $nth;
		return ref $with ? $with->($c, $body) : $with;
	};
}

# Sends something before the first message of a type.
sub before
{
	my ($type, $what) = @_;
	return instead_of($type, sub {
		my ($c, $body) = @_;
		return (ref $what ? $what->($c) : $what) . message($type, $body);
	}, 1);
}

# Answers with this until the server is ready for the next query.
sub answer
{
	my (@messages) = @_;
	my $said = 0;
	return sub {
		my ($c, $type, $body) = @_;
		return undef if $type eq 'Z';
		return $said++ ? '' : join '', @messages;
	};
}

# Rows of COPY: the nth message, including the header if it is the first.
sub nth_row
{
	my ($n, $change) = @_;
	return instead_of('d', $change, $n);
}
sub change_header
{
	my ($change) = @_;
	return nth_row(1, sub {
		my ($c, $body) = @_;
		return copy_data($change->(substr($body, 0, 19), substr($body, 19)));
	});
}
my $signature = "PGCOPY\n\377\r\n\0";
sub header { return $signature . pack('N2', @_) }

# Endless rows, many in each piece. The function makes one row.
sub endless
{
	my ($row) = @_;
	my $piece = $row x (1 + int(256 * 1024 / length $row));
	return sub { my ($c) = @_; $c->flood(sub { return $piece }) };
}

# Many messages, all different.
sub endless_different
{
	my ($make) = @_;
	return sub {
		my ($c) = @_;
		my $n = 0;
		$c->flood(sub { return join '', map { $make->($n++) } 1 .. 16 });
	};
}

my $big = 'x' x 28_000;

# libpq keeps every ParameterStatus.
my $ever_more = endless_different(sub { parameter_status("x$_[0]", $big) });
my $too_much = qr/more than \d+ MB of memory/;

# Each scenario:
#
#     name                what the source does
#     on, change, startup, who    as FakeSource wants it; on is a key of %question
#     expect   fails      an error, in start() or later
#              done       the right rows
#              either     one or the other
#              hangs      nothing, until cancel; an earlier error is as good
#     error               what the message, or its detail, must be like
#     call                more arguments of fastcopy.copy
#     table, into         of the source and the target, items if not given
#     retry               how often a chunk is tried again; not at all if not given
#     conninfo            more words of the connection string
#     measures            true where our memory must be measured from within
#     flood               true where the source sends a lot: it is given the time to
#     not_in_log          what must not be found in the target's log
my @scenarios;

sub scenario
{
	my ($name, %scenario) = @_;
	push @scenarios, { name => $name, who => qr/fastcopy/, expect => 'fails', %scenario };
	return;
}

# The start of a conversation. The first is the coordinator's; workers use the same code.

my %soon = (conninfo => { connect_timeout => 2 });
my $says_hello = authentication(0) . parameter_status('server_version', '15.0') . message('K', pack('N2', 1, 1));

my %startups = (
	'closes the connection'            => sub { $_[0]->hang_up },
	'sends garbage'                    => sub { $_[0]->send(join '', map { chr($_ * 7 % 256) } 1 .. 5000); $_[0]->hang_up },
	'speaks HTTP'                      => sub { $_[0]->send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"); $_[0]->hang_up },
	'is ready without authentication'  => sub { $_[0]->send(ready()) },
	'wants unknown authentication'     => sub { $_[0]->send(authentication(4711)) },
	'wants Kerberos V4'                => sub { $_[0]->send(authentication(1)) },
	'wants SSPI'                       => sub { $_[0]->send(authentication(9)) },
	'offers no SASL mechanism'         => sub { $_[0]->send(authentication(10, "\0")) },
	'offers unknown SASL mechanisms'   => sub { $_[0]->send(authentication(10, "SCRAM-MD4\0X\0\0")) },
	'offers SASL without an end'       => sub { $_[0]->send(authentication(10, 'SCRAM-SHA-256')) },
	'ends SASL that has not begun'     => sub { $_[0]->send(authentication(12, 'v=AAAA')) },
	'continues SASL that has not begun'      => sub { $_[0]->send(authentication(11, 'r=x,s=AAAA,i=4096')) },
	'answers SCRAM with nonsense'      => sub { $_[0]->send(authentication(10, "SCRAM-SHA-256\0\0") . authentication(11, 'r=x,s=!,i=-1')) },
	'negotiates the protocol'          => sub { $_[0]->send(message('v', pack('N N Z*', 0, 1, 'x'))) },
	'authentication of no length'      => sub { $_[0]->send(message('R', '', 0)) },
	'authentication of length -1'      => sub { $_[0]->send(message('R', pack('N', 0), -1)) },
	'authentication of length 2^31-1'  => sub { $_[0]->send(message('R', pack('N', 0), 0x7fffffff)) },
	'error of length 2^31-1'           => sub { $_[0]->send(message('E', $big, 0x7fffffff)); $_[0]->hang_up },
	'error of length 5'                => sub { $_[0]->send(message('E', '', 5) . 'x'); $_[0]->hang_up },
	'error without an end'             => sub { $_[0]->send("E$big"); $_[0]->hang_up },
	'error as large as can be'         => sub { $_[0]->send(error_response(S => 'FATAL', M => $big)) },
	'error without fields'             => sub { $_[0]->send(message('E', "\0")) },
	'error whose fields do not end'    => sub { $_[0]->send(message('E', 'MSFATAL')) },
	'breaks off after authentication'  => sub { $_[0]->send(authentication(0)); $_[0]->hang_up },
	'status of length 0'               => sub { $_[0]->send(authentication(0) . message('S', '', 0)) },
	'status without an end'            => sub { $_[0]->send(authentication(0) . message('S', 'server_version')); $_[0]->hang_up },
	'key of length 2^31-1'             => sub { $_[0]->send(authentication(0) . message('K', 'x', 0x7fffffff)); $_[0]->hang_up },
	'rows before a question'           => sub { $_[0]->send($says_hello . data_row('x') . ready()); $_[0]->hang_up },
	'COPY before a question'           => sub { $_[0]->send($says_hello . copy_response('H') . copy_data('x') x 10 . ready()); $_[0]->hang_up },
	'ready in an unknown state'        => sub { $_[0]->send($says_hello . ready('?')); $_[0]->hang_up },
);
scenario("at the start: $_", startup => $startups{$_}, %soon) for sort keys %startups;

scenario('at the start: silence', startup => sub { $_[0]->stall }, %soon, error => qr/did not answer within 2 seconds/);
scenario('at the start: silence, and no timeout',
	startup => sub { $_[0]->stall }, conninfo => { connect_timeout => 0 }, expect => 'hangs');
scenario('at the start: silence after authentication',
	startup => sub { $_[0]->send($says_hello); $_[0]->stall }, %soon, error => qr/did not answer within 2 seconds/);
scenario('at the start: one byte at a time', startup => sub { $_[0]->drip($says_hello . parameter_status('x', 'y' x 1000), 0.02) },
	%soon, error => qr/did not answer within 2 seconds/);
scenario('at the start: passwords without end', startup => endless(authentication(5, 'salt')),
	conninfo => { connect_timeout => 2, password => 'x' });
scenario('at the start: passwords without end, and no ear for them',
	startup => sub {
		my ($c) = @_;
		$c->flood(sub { return authentication(5, 'salt') x 10_000 });
	},
	conninfo => { connect_timeout => 0, password => 'x' }, expect => 'hangs', flood => 1);
scenario('at the start: notices without end',
	startup => sub { $_[0]->send($says_hello); endless(notice(M => 'planted'))->(@_) },
	%soon, not_in_log => qr/planted/);
scenario('at the start: one notice',
	on => 'start', change => before('Z', notice(M => 'planted')), expect => 'done', not_in_log => qr/planted/);
scenario('at the start: parameters without end',
	startup => sub { $_[0]->send($says_hello); endless_different(sub { parameter_status("x$_[0]", 'x') })->(@_) }, %soon,
	error => qr/did not answer within 2 seconds/);
scenario('at the start: parameters without end, and no timeout',
	startup => sub { $_[0]->send($says_hello); endless_different(sub { parameter_status("x$_[0]", 'x') })->(@_) },
	conninfo => { connect_timeout => 0 }, expect => 'hangs', flood => 1);
scenario('at the start: large parameters without end',
	startup => sub { $_[0]->send($says_hello); $ever_more->(@_) },
	conninfo => { connect_timeout => 0 }, error => $too_much, measures => 1);
scenario('at the start: a worker gets garbage again and again',
	startup => sub { $_[0]->send("garbage\n" x 1000); $_[0]->hang_up }, who => qr/worker/, %soon, retry => 3);
scenario('at the start: a worker gets garbage',
	startup => sub { $_[0]->send("garbage\n" x 1000); $_[0]->hang_up }, who => qr/worker/, %soon);
scenario('at the start: a worker gets nothing',
	startup => sub { $_[0]->stall }, who => qr/worker/, expect => 'hangs');

for my $version ('', 'x', '-1', '8.0', '99999999999.9', '9.1')
{
	scenario("at the start: version '$version'", on => 'start', expect => 'either',
		change => before('Z', parameter_status('server_version', $version)));
}
scenario('at the start: settings that lie', on => 'start', expect => 'done',
	change => before('Z', parameter_status('client_encoding', 'SQL_ASCII') . parameter_status('integer_datetimes', 'off')
		  . parameter_status('standard_conforming_strings', 'off')));

# The answers to the coordinator's queries. Faults that each of them may have:

my %any_answer = (
	'no row'              => sub { instead_of('D', '') },
	'nulls'               => sub { fields(sub { return map { undef } @_ }) },
	'empty texts'         => sub { fields(sub { return map { '' } @_ }) },
	'no columns'          => sub { answer(row_description(), data_row(), command_complete('SELECT 1')) },
	'one column'          => sub { answer(row_description('x'), data_row('x'), command_complete('SELECT 1')) },
	'a COPY instead'      => sub { answer(copy_response('H'), copy_data('x'), copy_done(), command_complete('COPY 1')) },
	'only its completion' => sub { answer(command_complete('SELECT 1')) },
);
my %call = (
	key      => q(, key => 'id'),
	bounds   => q(, key => 'id'),
	extremes => q(, key => 'id'),
	locks    => q(, truncate => true));
for my $question (qw(table snapshot same columns leaves plan key bounds extremes))
{
	for my $what (sort keys %any_answer)
	{
		# All of them with all queries only on request: that takes long.
		next if $what =~ /empty|one column|completion/ && $question ne 'table' && ($ENV{PG_TEST_EXTRA} // '') !~ /\bmalicious\b/;
		scenario(
			"question $question: $what",
			on     => $question,
			change => $any_answer{$what}->(),
			expect => 'either',
			call   => $call{$question} // '');
	}
}
# Without statistics, the coordinator asks for the extremes.
for my $scenario (grep { $_->{on} && $_->{on} eq 'extremes' } @scenarios)
{
	$scenario->{on} = 'bounds|extremes';
	my $change = $scenario->{change};
	my $bounds = 0;
	$scenario->{change} = sub {
		my ($c, $type, $body) = @_;
		# The first query asks for statistics; the server is ready after it.
		if (!$bounds) { $bounds = $type eq 'Z'; return $type eq 'D' ? '' : undef }
		return $change->(@_);
	};
}

# Faults that any answer may have, shown with one query.
my $no_number = qr/out-of-range value/;
my %answers = (
	'two rows'                 => [ 'table', before('C', data_row(1, 'r', 'public.items', 't', 'f', 2)), error => qr/\w/, expect => 'either' ],
	'a row longer than the description' => [ 'snapshot', fields(sub { return (@_, 'x') }) ],
	'a row shorter than the description' => [ 'leaves', fields(sub { return @_[0 .. 2] }) ],
	'a row of 65535 columns'   => [ 'snapshot', instead_of('D', message('D', pack('n', 65535))) ],
	'a field longer than its row' => [ 'snapshot', instead_of('D', message('D', pack('n N a*', 1, 1000, 'x'))) ],
	'a field of length -2'     => [ 'snapshot', instead_of('D', message('D', pack('n N', 1, 0xfffffffe))), expect => 'either' ],
	'a row before its description' => [ 'snapshot', answer(data_row('x'), command_complete('SELECT 1')) ],
	'a description cut short'  => [ 'snapshot', answer(message('T', pack('n', 5)), command_complete('SELECT 1')) ],
	'two answers'              => [ 'snapshot', before('Z', row_description('x') . data_row('y') . command_complete('SELECT 1')), expect => 'either' ],
	'an empty query'           => [ 'snapshot', answer(message('I', '')) ],
	'COPY IN'                  => [ 'settings', answer(copy_response('G')) ],
	'COPY BOTH'                => [ 'settings', answer(copy_response('W')) ],
	'COPY to a LOCK'           => [ 'begin', answer(copy_response('H')) ],
	'an unknown message'       => [ 'columns', before('T', message('?', 'what')) ],
	'a message of length 3'    => [ 'columns', before('T', message('D', '', 3)) ],
	'a message of length 2^31-1' => [ 'columns', before('T', message('D', '', 0x7fffffff)), expect => 'hangs' ],
	'a message of length -1'   => [ 'columns', before('T', message('D', '', -1)) ],
	'ready at once'            => [ 'columns', answer() ],
	'silence'                  => [ 'columns', sub { $_[0]->stall }, expect => 'hangs' ],
	'an end'                   => [ 'columns', sub { $_[0]->hang_up }, error => qr/lost the connection/ ],
	'a FATAL error and an end' => [ 'columns', sub { $_[0]->send(error_response(S => 'FATAL', V => 'FATAL', C => '57P01', M => 'bye')); $_[0]->hang_up }, error => qr/bye/ ],
	'an error of 10 MB'        => [ 'columns', answer(error_response(M => 'huge ' . 'x' x 10_000_000)), error => qr/^huge x/ ],
	'an error of 10 MB in every field' => [ 'columns', answer(error_response(M => 'huge', map { $_ => 'x' x 10_000_000 } qw(D H W))), error => qr/^huge/ ],
	'an error with SQLSTATE 00000'    => [ 'columns', answer(error_response(C => '00000', M => 'all is well')), error => qr/all is well/ ],
	'an error called cancel'   => [ 'columns', answer(error_response(C => '57014', M => 'no, not cancelled')), error => qr/no, not/ ],
	'an error without a code'  => [ 'columns', answer(message('E', "SERROR\0Mno code\0\0")), error => qr/no code/ ],
	'an error with an odd code' => [ 'columns', answer(error_response(C => "\x01\xff%s", M => 'odd')), error => qr/odd/ ],
	'an error in no encoding'  => [ 'columns', answer(error_response(M => "bad \xff\xfe\xc3", D => "\xe2\x82")), error => qr/bad/ ],
	'an error with formats'    => [ 'columns', answer(error_response(M => '%s%n%s%s%m', D => '%s%n', H => '%s%n', W => '%s%n')), error => qr/%s%n%s/ ],
	'a text in no encoding'    => [ 'leaves', set_field(3, "public.\"\xff\xfe\"") ],
	'a column in no encoding'  => [ 'columns', set_field(0, "na\xc3") ],
	'a column called twice the same' => [ 'columns', set_field(0, 'id') ],
	'a column of 1 MB'         => [ 'columns', set_field(0, 'x' x 1_000_000) ],
	'an invalid kind'      => [ 'table', set_field(1, '%') ],
	'an invalid OID'      => [ 'table', set_field(0, '-99999999999999999999'), error => $no_number ],
	'an invalid name'      => [ 'table', set_field(2, q(items; SELECT 'a quote) ) ],
	'a name with a NUL'        => [ 'table', set_field(2, "items\0"), expect => 'either' ],
	'a snapshot of 100 kB'     => [ 'snapshot', set_field(0, '0' x 100_000), error => qr/snapshot/ ],
	'a snapshot with a quote'  => [ 'snapshot', set_field(0, q(x'; DROP TABLE items; --)), error => qr/snapshot/ ],
	'a size that is text'      => [ 'leaves', set_field(4, 'huge'), error => $no_number ],
	'a size below 0'           => [ 'leaves', set_field(4, '-8192000'), error => $no_number ],
	'sizes of 2^62'            => [ 'leaves', fields(sub { my @f = @_; @f[ 4, 5 ] = (1 << 62) x 2; @f }), error => $no_number ],
	'the least of sizes'       => [ 'leaves', fields(sub { my @f = @_; @f[ 4, 5 ] = ('-9223372036854775808') x 2; @f }), error => $no_number ],
	'a block size of 0'        => [ 'leaves', set_field(6, '0'), error => $no_number ],
	'a block size of 1'        => [ 'leaves', set_field(6, '1'), error => $no_number ],
	'a block size of -1'       => [ 'leaves', set_field(6, '-1'), error => $no_number ],
	'a block size that is text' => [ 'leaves', set_field(6, '8k'), error => $no_number ],
	'a block size of 2^40'     => [ 'leaves', set_field(6, '1099511627776'), error => $no_number ],
	'a leaf of a table that was not asked for' => [ 'leaves', set_field(13, '2'), error => qr/odd|returned/ ],
	'a column of such a table' => [ 'columns', set_field(10, '2'), error => qr/returned a row for a table/ ],
	'a number of a table that is text' => [ 'columns', set_field(10, 'x'), error => $no_number ],
	'a leaf that is not the table' => [ 'leaves', set_field(3, 'public.nothing'), error => qr/does not exist/ ],
	'an invalid operator' => [ 'key', set_field(7, 'OPERATOR(nothing'), call => q(, key => 'id') ],
	'an invalid type'      => [ 'key', set_field(1, "x'; --"), call => q(, key => 'id') ],
	'an invalid key'       => [ 'key', set_field(0, '"nothing"'), call => q(, key => 'id') ],
	'invalid bounds'     => [ 'bounds', set_field(0, 'x'), call => q(, key => 'id'), error => $no_number ],
	'a bound and more'         => [ 'bounds', fields(sub { return ("$_[0]; --") x 2 }), call => q(, key => 'id'), error => $no_number ],
	'a bound of 2^63'          => [ 'bounds', set_field(0, '9223372036854775808'), call => q(, key => 'id'), error => $no_number ],
	'bounds out of order'      => [ 'bounds', fields(sub { return (2000 - $_[0]) x 2 }), call => q(, key => 'id'), expect => 'either' ],
	'rows of leaves, thousands' => [ 'leaves', before('C', join '', map { data_row($_, 'r', 't', "public.t$_", 8192, 0, 8192, 't', 'f', $_, 'public', 'items', 'f', 1) } 1 .. 20000), error => qr/does not exist/ ],
	'a plan that is no JSON'   => [ 'plan', set_field(0, '[{"Plan": '), error => qr/invalid input syntax for type json/ ],
	'a plan without a node'    => [ 'plan', set_field(0, '[{"Plan": [1, {"Plans": 7}]}]'), expect => 'done' ],
	'a plan of another table'  => [ 'plan', set_field(0, '[{"Plan": {"Node Type": "Seq Scan", "Schema": "public", "Relation Name": "nothing"}}]'), expect => 'done' ],
	'a plan with a node of no type' => [ 'plan', set_field(0, '[{"Plan": {"Node Type": "Append", "Plans": [{"Schema": []}, 3, {"Node Type": {}}]}}]'), expect => 'done' ],
	'a plan that is deep'      => [ 'plan', set_field(0, '[{"Plan": ' . '{"Node Type": "Append", "Plans": [' x 20000 . ']}' x 20000 . '}]'), error => qr/stack depth/ ],
	'locks that are not ours'  => [ 'locks', before('C', data_row()), call => q(, truncate => true), expect => 'either' ],
	'a notification'           => [ 'columns', before('T', notification('x', 'y')), expect => 'done' ],
	'some notices and parameters' => [ 'columns', before('T', (notice(M => 'planted') . parameter_status('x', 'y')) x 1000), expect => 'done', not_in_log => qr/planted/ ],
	'notices without end'      => [ 'columns', before('T', endless(notice(M => $big))), expect => 'hangs', flood => 1 ],
	'notifications without end' => [ 'columns', before('T', endless(notification('x', 'y' x 8000))), expect => 'hangs', flood => 1 ],
	'rows without end'         => [ 'columns', before('D', endless(data_row('id', 'f', 'f', 23, 'int4', 'b', 'f', 't'))), expect => 'hangs', flood => 1 ],
	'large rows without end'   => [ 'snapshot', before('D', endless(data_row('x' x 1_000_000))), error => qr/too large/ ],
	'large parameters without end' => [ 'columns', before('T', $ever_more), error => $too_much, measures => 1 ],
	'answers without end'      => [ 'columns', before('T', endless(command_complete('SELECT 1'))), expect => 'hangs', flood => 1 ],
	'answers with rows without end' => [ 'columns', before('T', endless(row_description('x') . data_row('y') . command_complete('SELECT 1'))), expect => 'hangs', flood => 1 ],
	'errors without end'       => [ 'columns', before('T', endless(error_response(M => 'again'))), expect => 'either', flood => 1 ],
);
# A query may be large; a source that does not read it must not block us.
$answers{'no ear for a filter of 5 MB'} = [ 'columns', sub {
	my ($c, $type, $body) = @_;
	return undef if $type ne 'Z';
	$c->send(message($type, $body));
	$c->deafen;
}, call => q(, filter => 'name <> ''' || repeat('x', 5000000) || ''''), expect => 'hangs', flood => 1 ];
$answers{'a column with a long name'} = [ 'key', set_field(0, 'x' x 5000), error => qr/invalid identifier/, call => q(, key => 'id') ];
# Each chunk keeps a name, for statements that may be sent to another source when the job is resumed.
for my $case ([ table => 'table', 2 ], [ leaf => 'leaves', 3 ], [ type => 'key', 1 ], [ collation => 'key', 3 ],
	[ operator => 'key', 6 ], [ 'second operator' => 'key', 7 ])
{
	my ($what, $question, $field) = @$case;
	my %more = (error => qr/invalid identifier/, call => $question eq 'key' ? q(, key => 'id') : '');
	$answers{"a $what with a long name"} = [ $question, set_field($field, '"' . 'x' x 5000 . '"'), %more ];
	$answers{"a $what with a statement"} = [ $question, set_field($field, 'public.items) TO STDOUT; SELECT (1'), %more ];
}
for my $what (sort keys %answers)
{
	my ($on, $change, @more) = @{ $answers{$what} };
	scenario("question $on: $what", on => $on, change => $change, @more);
}
# Many leaves of any size make more chunks than useful.
scenario('question leaves: thousands of leaves of 32 TB', on => 'leaves', expect => 'hangs', flood => 1,
	change => before('C', join '', map { data_row($_, 'r', 't', "public.t$_", 35184372072448, 0, 8192, 't', 'f', $_, 'public', 'items', 'f', 1) } 1 .. 5000));

# The workers' queries.
scenario('question import: an error called cancel', on => 'import', error => qr/no, not/,
	change => answer(error_response(C => '57014', M => 'no, not cancelled')));
scenario('question files: another file', on => 'files', error => qr/was truncated or rewritten/,
	change => before('C', data_row('items')));
scenario('question import: silence', on => 'import', change => sub { $_[0]->stall }, expect => 'hangs');
scenario('question import: COPY', on => 'import', change => answer(copy_response('H')));

# COPY, in binary.

my %copies = (
	'a wrong signature'       => [ change_header(sub { return "pgcopy\n\377\r\n\0" . substr($_[0], 11) . $_[1] }), error => qr/signature/ ],
	'no header'               => [ change_header(sub { return $_[1] }), error => qr/signature/ ],
	'half a header'           => [ answer(copy_response('H'), copy_data(substr $signature, 0, 6), copy_done(), command_complete('COPY 0')), error => qr/signature/ ],
	'a header with OIDs'      => [ change_header(sub { return header(1 << 16, 0) . $_[1] }), error => qr/WITH OIDS/ ],
	'a header with unknown flags' => [ change_header(sub { return header(1 << 20, 0) . $_[1] }), error => qr/critical flags/ ],
	'a header with flags of no importance' => [ change_header(sub { return header(0xff, 0) . $_[1] }), expect => 'done' ],
	'a header with an extension' => [ change_header(sub { return header(0, 1000) . 'x' x 1000 . $_[1] }), expect => 'done' ],
	'a header with an extension of -1' => [ change_header(sub { return header(0, 0xffffffff) . $_[1] }), error => qr/header/ ],
	'a header with an extension of 2 GB' => [ change_header(sub { return header(0, 0x7fffffff) . $_[1] }), error => qr/header|wrong length/ ],
	'an extension without end' => [ change_header(sub { return header(0, 0x7fffffff) . $_[1] }), after => endless(copy_data('x' x 8000)), expect => 'hangs', flood => 1 ],
	'no rows, no header'      => [ answer(copy_response('H'), copy_done(), command_complete('COPY 0')), error => qr/signature/ ],

	'a row of 0 fields'       => [ nth_row(5, copy_data(pack 'n', 0)), error => qr/field count is 0/ ],
	'a row of 1 field'        => [ nth_row(5, copy_data(copy_row('abcd'))), error => qr/field count is 1/ ],
	'a row of 3 fields'       => [ nth_row(5, copy_data(copy_row('abcd', 'x', 'y'))), error => qr/field count is 3/ ],
	'a row of -2 fields'      => [ nth_row(5, copy_data(pack 'n', 0xfffe)), error => qr/field count is -2/ ],
	'a row of 32767 fields'   => [ nth_row(5, copy_data(pack 'n', 32767)), error => qr/field count is 32767/ ],
	'a row in pieces'         => [ instead_of('d', sub { return join '', map { copy_data($_) } split //, $_[1] }), expect => 'done' ],
	'a field of length -2'    => [ nth_row(5, copy_data(pack 'n N', 2, 0xfffffffe)), error => qr/invalid field size/ ],
	'a field of length -2^31' => [ nth_row(5, copy_data(pack 'n N', 2, 0x80000000)), error => qr/invalid field size/ ],
	'a field of length 2^31-1' => [ nth_row(5, copy_data(pack 'n N', 2, 0x7fffffff)), error => qr/memory|Cannot enlarge/ ],
	'a field of 1 GB that does not come' => [ nth_row(5, sub { $_[0]->send(copy_data(pack 'n N', 2, 0x3ffffff0)); $_[0]->stall }), expect => 'hangs' ],
	'a field longer than what comes' => [ nth_row(5, copy_data(pack 'n N a*', 2, 100_000_000, 'x')), error => qr/unexpected EOF|incorrect|trailing|row field/ ],
	'a field cut short'       => [ nth_row(5, sub { return copy_data(substr $_[1], 0, -10) }), error => qr/\w/ ],
	'an integer of 8 bytes'   => [ nth_row(5, copy_data(copy_row('12345678', 'x'))), error => qr/incorrect binary data format/ ],
	'an integer of 0 bytes'   => [ nth_row(5, copy_data(copy_row('', 'x'))), error => qr/insufficient data/ ],
	'a text in no encoding'   => [ nth_row(5, copy_data(copy_row('abcd', "\xff\xfe\xc3"))), error => qr/invalid byte sequence/ ],
	'a text with a NUL'       => [ nth_row(5, copy_data(copy_row('abcd', "a\0b"))), error => qr/invalid byte sequence/ ],

	'no trailer'              => [ instead_of('d', sub { return $_[1] eq "\xff\xff" ? '' : copy_data($_[1]) }), expect => 'done' ],
	'a trailer early'         => [ nth_row(5, copy_data("\xff\xff")), error => qr/after EOF/ ],
	'a trailer early, and then nothing' => [ do { my $seen = 0; instead_of('d', sub { return ++$seen < 5 ? copy_data($_[1]) : $seen == 5 ? copy_data("\xff\xff") : '' }) }, error => qr/the source sent \d+ rows/ ],
	'data after the trailer'  => [ before('c', copy_data('more')), error => qr/after EOF/ ],
	'two trailers'            => [ before('c', copy_data("\xff\xff")), error => qr/after EOF/ ],
	'a second header'         => [ nth_row(5, copy_data(header(0, 0))), error => qr/\w/ ],
	'a row less'              => [ nth_row(5, ''), error => qr/the source sent \d+ rows/ ],
	'a row twice'             => [ nth_row(5, sub { return copy_data($_[1]) x 2 }), error => qr/the source sent \d+ rows/ ],

	'an empty piece'          => [ nth_row(5, sub { return copy_data('') . copy_data($_[1]) }), expect => 'done' ],
	'many empty pieces'       => [ nth_row(5, sub { return copy_data('') x 1000 . copy_data($_[1]) }), expect => 'done' ],
	'many empty pieces, and silence' => [ nth_row(5, sub { $_[0]->send(copy_data('') x 1000); $_[0]->stall }), expect => 'hangs' ],
	'empty pieces without end' => [ nth_row(5, endless(copy_data(''))), expect => 'hangs', flood => 1 ],
	'a piece of length 0'     => [ nth_row(5, message('d', '', 0)) ],
	'a piece of length 3'     => [ nth_row(5, message('d', '', 3)) ],
	'a piece of length -1'    => [ nth_row(5, message('d', 'x', -1)) ],
	'a piece of length 2^31-1, and silence' => [ nth_row(5, sub { $_[0]->send(message('d', 'x', 0x7fffffff)); $_[0]->stall }), expect => 'hangs' ],
	'a piece of 50 MB'        => [ nth_row(5, sub { return copy_data(copy_row('abcd', 'x' x 50_000_000)) . copy_data($_[1]) }), memory => 1, error => qr/the source sent \d+ rows/ ],
	'half a piece and an end' => [ nth_row(5, sub { $_[0]->send("d\0\0"); $_[0]->hang_up }), error => qr/lost the connection/ ],

	'COPY IN'                 => [ answer(copy_response('G')) ],
	'COPY BOTH'               => [ answer(copy_response('W')) ],
	'rows of a query'         => [ answer(row_description('x'), data_row('y'), command_complete('SELECT 1')) ],
	'only its completion'     => [ instead_of('H', sub { $_[0]->send(command_complete('COPY 0') . ready()); $_[0]->stall }) ],
	'an empty query'          => [ instead_of('H', sub { $_[0]->send(message('I', '') . ready()); $_[0]->stall }) ],
	'COPY in text'            => [ instead_of('H', message('H', pack('C n n2', 0, 2, 0, 0))), expect => 'either' ],
	'COPY of 65535 columns, and not one of them' => [ instead_of('H', message('H', pack('C n', 1, 65535))), expect => 'hangs' ],
	'silence at once'         => [ sub { $_[0]->stall }, expect => 'hangs' ],
	'silence after rows'      => [ nth_row(5, sub { $_[0]->stall }), expect => 'hangs' ],
	'silence in a row'        => [ nth_row(5, sub { $_[0]->send("d\0\0\0\x70xx"); $_[0]->stall }), expect => 'hangs' ],
	'silence before its completion' => [ instead_of('C', sub { my ($c, $body) = @_; return undef if $body !~ /COPY/; $c->stall }), expect => 'hangs' ],
	'one byte at a time'      => [ nth_row(5, sub { $_[0]->drip(message('d', $_[1]), 0.1); $_[0]->stall }), expect => 'hangs' ],
	'rows without end'        => [ nth_row(5, endless(copy_data(copy_row('abcd', 'x')))), expect => 'hangs', flood => 1 ],
	'rows of nulls without end' => [ nth_row(5, endless(copy_data(copy_row(undef, undef)))), expect => 'hangs', flood => 1 ],
	'large rows without end'  => [ nth_row(5, endless(copy_data(copy_row('abcd', 'x' x 1_000_000)))), expect => 'hangs', flood => 1 ],

	'a completion with a wrong number' => [ instead_of('C', command_complete('COPY 1'), 3), error => qr/the source sent 1 rows/ ],
	'a completion without a number' => [ instead_of('C', command_complete('COPY'), 3), error => qr/without a number of rows/ ],
	'a completion of too many' => [ instead_of('C', command_complete('COPY 99999999999999999999'), 3), error => qr/without a number of rows/ ],
	'a completion with a negative number' => [ instead_of('C', command_complete('COPY -1'), 3), error => qr/without a number of rows/ ],
	'a completion of another command' => [ instead_of('C', command_complete('DROP TABLE'), 3), error => qr/without a number of rows/ ],
	'a completion that does not end' => [ instead_of('C', message('C', 'COPY 5'), 3) ],
	'an end without completion' => [ instead_of('c', sub { $_[0]->send(copy_done()); $_[0]->hang_up }), error => qr/lost the connection/ ],
	'an end in the rows'      => [ nth_row(5, sub { $_[0]->hang_up }), error => qr/lost the connection/ ],
	'ready in the rows'       => [ nth_row(5, sub { $_[0]->send(ready()); $_[0]->stall }), expect => 'either' ],
	'ready without completion' => [ instead_of('C', '', 3) ],
	'done without rows'       => [ nth_row(2, sub { $_[0]->send(copy_done() . command_complete('COPY 2') . ready()); $_[0]->stall }), error => qr/the source sent 2 rows/ ],
	'two completions'         => [ instead_of('C', sub { my ($c, $body) = @_; return message('C', $body) x 2 }, 3), expect => 'either' ],
	'completions without end' => [ instead_of('C', endless(command_complete('COPY 1')), 3), expect => 'hangs', flood => 1 ],
	'a result after the end'  => [ before('Z', row_description('x') . data_row('y') . command_complete('SELECT 1')), error => qr/\w/ ],
	'a second COPY after the end' => [ before('Z', copy_response('H') . copy_data(copy_row('abcd', 'x')) . copy_done() . command_complete('COPY 1')), error => qr/\w/ ],
	'a message after the end' => [ instead_of('Z', sub { return ready('T') . copy_data('stray') x 3 }), expect => 'either' ],

	'an error among the rows' => [ nth_row(5, sub { $_[0]->send(error_response(M => 'so far', D => 'and no further', H => 'go') . ready('E')); $_[0]->stall }), error => qr/^so far/ ],
	'an error of 10 MB'       => [ nth_row(5, sub { $_[0]->send(error_response(M => 'huge ' . 'x' x 10_000_000) . ready('E')); $_[0]->stall }), error => qr/^huge/ ],
	'an error with SQLSTATE 00000'   => [ nth_row(5, sub { $_[0]->send(error_response(C => '00000', M => 'all is well') . ready('E')); $_[0]->stall }), error => qr/all is well/ ],
	'an error called cancel'  => [ nth_row(5, sub { $_[0]->send(error_response(C => '57014', M => 'no, not cancelled') . ready('E')); $_[0]->stall }), error => qr/no, not/ ],
	'an error in no encoding' => [ nth_row(5, sub { $_[0]->send(error_response(M => "bad \xff\xc3", D => "\xe2\x82") . ready('E')); $_[0]->stall }), error => qr/bad/ ],
	'an unknown message'      => [ nth_row(5, message('?', 'what')) ],
	'a message of an unknown type, large' => [ nth_row(5, message('?', '', 100_000_000)), expect => 'hangs' ],
	'some notices and parameters' => [ nth_row(5, sub { return (notice(M => 'planted') . parameter_status('x', 'y') . notification('x', 'y')) x 1000 . copy_data($_[1]) }), expect => 'done', not_in_log => qr/planted/ ],
	'a notice called FATAL'   => [ nth_row(5, sub { return notice(S => 'FATAL', V => 'FATAL', M => 'planted') . copy_data($_[1]) }), expect => 'done' ],
	'notices without end'     => [ nth_row(5, endless(notice(M => $big))), expect => 'hangs', flood => 1 ],
	'notifications without end' => [ nth_row(5, endless(notification('x', 'y' x 8000))), expect => 'hangs', flood => 1 ],
	'parameters without end'  => [ nth_row(5, endless(parameter_status('x', $big))), expect => 'hangs', flood => 1 ],
	'different parameters without end' => [ nth_row(5, endless_different(sub { parameter_status("x$_[0]", 'x') })), expect => 'hangs', flood => 1 ],
);
# A row may have 1 GB, so only twice as much is too much.
$copies{'large parameters without end'} = [ nth_row(5, $ever_more), error => $too_much, measures => 1, memory => 1 ]
  if ($ENV{PG_TEST_EXTRA} // '') =~ /\bmalicious\b/;
for my $what (sort keys %copies)
{
	my ($change, %more) = @{ $copies{$what} };
	# Messages after a change take effect with the next message.
	if (my $after = delete $more{after})
	{
		my ($first, $struck) = ($change, 0);
		$change = sub {
			$after->(@_) if $struck;
			my $instead = $first->(@_);
			$struck = defined $instead;
			return $instead;
		};
	}
	scenario("COPY: $what", on => 'copy', change => $change, %more);
}

# Values of types that we decode if they are ordinary; otherwise PostgreSQL decodes them, and these are its messages.
{
	my $one = pack('n n n n n', 1, 0, 0, 2, 1);
	my $json = "\1{}";
	my %values = (
		'a numeric cut short'      => [ substr($one, 0, 9), $json, error => qr/insufficient data/ ],
		'a numeric and more'       => [ "${one}x", $json, error => qr/incorrect binary data format/ ],
		'a numeric of no bytes'    => [ '', $json, error => qr/insufficient data/ ],
		'a numeric of 65535 digits' => [ pack('n4', 65535, 0, 0, 2), $json, error => qr/insufficient data|length/ ],
		'a numeric of a wrong sign' => [ pack('n5', 1, 0, 0x1234, 2, 1), $json, error => qr/invalid sign/ ],
		'a numeric of a wrong scale' => [ pack('n5', 1, 0, 0, 0xffff, 1), $json, error => qr/invalid scale/ ],
		'a digit of 10000'         => [ pack('n5', 1, 0, 0, 2, 10000), $json, error => qr/invalid digit/ ],
		'a digit of -1'            => [ pack('n5', 1, 0, 0, 2, 0xffff), $json, error => qr/invalid digit/ ],
		'a numeric too large'      => [ pack('n5', 1, 1, 0, 2, 1), $json, error => qr/numeric field overflow/ ],
		'a numeric larger than any' => [ pack('n5', 1, 0x7fff, 0, 2, 1), $json, error => qr/overflow/ ],
		'infinity'                 => [ pack('n4', 0, 0, 0xd000, 0), $json, error => qr/overflow/ ],
		'jsonb of no bytes'        => [ $one, '', error => qr/insufficient data/ ],
		'jsonb without a text'     => [ $one, "\1", error => qr/invalid input syntax for type json/ ],
		'half an object'           => [ $one, qq(\1{"a": ), error => qr/invalid input syntax for type json/ ],
		'half a string'            => [ $one, qq(\1"a), error => qr/invalid input syntax for type json/ ],
		'half an escape'           => [ $one, qq(\1"a\\), error => qr/invalid input syntax for type json/ ],
		'jsonb and more'           => [ $one, "\1{}{}", error => qr/invalid input syntax for type json/ ],
		'jsonb with a NUL'         => [ $one, qq(\1"\0"), error => qr/invalid/ ],
		'jsonb with an escaped NUL' => [ $one, qq(\1"\\u0000"), error => qr/unsupported Unicode escape sequence/ ],
		'jsonb in no encoding'     => [ $one, qq(\1"\xff\xfe\xc3"), error => qr/invalid byte sequence/ ],
		'a key in no encoding'     => [ $one, qq(\1{"\xc3": 1}), error => qr/invalid byte sequence/ ],
		'an invalid number'    => [ $one, "\1[1, -]", error => qr/invalid input syntax for type json/ ],
		'a number of 200000 digits' => [ $one, "\1" . '9' x 200_000, error => qr/overflow|out of range/ ],
		'arrays in arrays'         => [ $one, "\1" . '[' x 60_000, error => qr/stack depth limit|invalid input syntax/ ],
		'arrays in arrays, without end' => [ $one, "\1" . '[' x 10_000_000, error => qr/stack depth limit/, memory => 1 ],
	);
	for my $what (sort keys %values)
	{
		my ($amount, $details, %more) = @{ $values{$what} };
		scenario("COPY of values: $what", on => 'copy', change => nth_row(5, copy_data(copy_row($amount, $details))),
			table => 'readings', into => 'readings', %more);
	}
}

# COPY, in text.

my %texts = (
	'rows as they are'    => [ sub { return undef }, expect => 'done' ],
	'a bad escape'        => [ nth_row(5, copy_data("1\t\\xzz\\777\\\n")), error => qr/\w/ ],
	'an end in the middle' => [ nth_row(5, sub { return copy_data("\\.\n") . copy_data($_[1]) }), error => qr/\w/ ],
	'an end at the end'   => [ before('c', copy_data("\\.\n")), expect => 'either' ],
	'too few columns'     => [ nth_row(5, copy_data("1\n")), error => qr/missing data/ ],
	'too many columns'    => [ nth_row(5, copy_data("1\t2\t3\n")), error => qr/extra data/ ],
	'an empty line'       => [ nth_row(5, copy_data("\n")), error => qr/\w/ ],
	'an invalid integer' => [ nth_row(5, copy_data("one\tx\n")), error => qr/invalid input syntax/ ],
	'an integer too large' => [ nth_row(5, copy_data("99999999999999999999\tx\n")), error => qr/out of range/ ],
	'a text in no encoding' => [ nth_row(5, copy_data("1\t\xff\xfe\n")), error => qr/invalid byte sequence/ ],
	'half a character at the end' => [ before('c', copy_data("1\t\xe2\x82")), error => qr/invalid byte sequence|incomplete/ ],
	'a NUL'               => [ nth_row(5, copy_data("1\ta\0b\n")), error => qr/invalid byte sequence/ ],
	'an escaped NUL'      => [ nth_row(5, copy_data("1\ta\\0b\n")), error => qr/invalid byte sequence/ ],
	'other line ends'     => [ nth_row(5, copy_data("1\tx\r\n")), error => qr/\w/ ],
	'no line end'         => [ nth_row(5, copy_data("1\tx")), error => qr/\w/ ],
	'binary rows'         => [ nth_row(1, sub { return copy_data(header(0, 0)) }), error => qr/\w/ ],
	'rows without end'    => [ nth_row(5, endless(copy_data("1\tx\n"))), expect => 'hangs', flood => 1 ],
	'empty pieces without end' => [ nth_row(5, endless(copy_data(''))), expect => 'hangs', flood => 1 ],
);
for my $what (sort keys %texts)
{
	my ($change, %more) = @{ $texts{$what} };
	scenario("COPY in text: $what", on => 'copy', change => $change, into => 'items_text', %more);
}

# The coordinator's connection while the workers copy: it is idle, and nothing is expected on it.
{
	my %idle = (
		'notifications without end' => [ endless(notification('x', 'y' x 8000)), expect => 'hangs', flood => 1 ],
		'notices without end'       => [ endless(notice(M => $big)), expect => 'hangs', flood => 1 ],
		'large parameters without end' => [ $ever_more, error => $too_much, measures => 1 ],
		'stray messages'            => [ sub { my ($c) = @_; $c->send(data_row('x') . copy_response('H') . copy_data('y') . command_complete('COPY 1')); $c->stall }, expect => 'hangs' ],
		'garbage'                   => [ sub { my ($c) = @_; $c->send("\0" x 1000); $c->stall }, error => qr/lost the connection/ ],
		'a FATAL error and an end'  => [ sub { my ($c) = @_; $c->send(error_response(S => 'FATAL', V => 'FATAL', C => '57P01', M => 'bye')); $c->hang_up }, error => qr/bye/ ],
	);
	for my $what (sort keys %idle)
	{
		my ($do, %more) = @{ $idle{$what} };
		# The coordinator's last question is about the plan; the workers' questions are answered with
		# silence.
		scenario("idle coordinator: $what", on => 'forget|copy',
			change => sub {
				my ($c, $type, $body) = @_;
				$c->stall if $type =~ /[Hd]/;
				return undef if $type ne 'Z';
				$c->send(message($type, $body));
				$do->($c);
			}, %more);
	}
}

# Runs SQL that may fail while the server is down or recovers; returns undef then.
sub ask
{
	my ($sql) = @_;
	return eval { $target->safe_psql('postgres', $sql) };
}

my ($postmaster) = split /\n/, slurp_file($target->data_dir . '/postmaster.pid');

# Our processes, found without the server's help, which may be recovering from a crash. Under valgrind a process's
# title cannot be seen.
sub processes
{
	my @found;
	return split ' ', ask(q(SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'fastcopy%')) // ''
	  if ($ENV{FASTCOPY_TEST_UNDER} // '') eq 'valgrind';
	my $children = eval { slurp_file("/proc/$postmaster/task/$postmaster/children") } // `ps -o pid= --ppid $postmaster`;
	for my $pid (split ' ', $children)
	{
		my $title = eval { slurp_file("/proc/$pid/cmdline") } // '';
		push @found, $pid if $title =~ /fastcopy (?:coordinator|worker)/;
	}
	return @found;
}

sub most_memory
{
	my $most = 0;
	return 0 if ($ENV{FASTCOPY_TEST_UNDER} // '') eq 'valgrind';    # whose memory it would be
	for my $pid (processes())
	{
		my $status = eval { slurp_file("/proc/$pid/status") } // '';
		my ($kb) = $status =~ /^RssAnon:\s+(\d+) kB/m;
		$most = $kb * 1024 if defined $kb && $kb * 1024 > $most;
	}
	return $most;
}

sub run_scenario
{
	my ($s) = @_;
	my $name = $s->{name};
	my $into = $s->{into} // 'items';
	my @wrong;
	my $began = time;

	ask($_) for 'SELECT fastcopy.forget(job) FROM fastcopy.status', 'TRUNCATE items, items_text, readings';
	my $log_start = -s $target->logfile;
	my $on        = $s->{on};
	my $pattern   = $on ? join '|', map { $question{$_} // die "no question $_" } split /\|/, $on : '';
	my $fake      = FakeSource->new($source, %$s, on => qr/$pattern/);
	my $conninfo  = $fake->conninfo(connect_timeout => 30 * $slowness, %{ $s->{conninfo} || {} });
	my $retry     = $s->{retry} // 0;
	my $call      = "SET fastcopy.chunk_size = '64kB'; SET fastcopy.retry_limit = $retry; SET fastcopy.retry_delay = 10; SELECT fastcopy.copy('$conninfo', '"
	  . ($s->{table} // 'items') . "', '$into', 2, statistics => false" . ($s->{call} // '') . ')';
	my ($stdout, $stderr) = ('', '');
	my $psql = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose', '-d', $target->connstr('postgres'), '-c', $call ],
		'<', \undef, '>', \$stdout, '2>', \$stderr);
	my $ended = sub { $psql->pump_nb if $psql->pumpable; return !$psql->pumpable };

	# Wait until it ends, or waits for data that will not come.
	my ($memory, $struck_at, $hung) = (0, undef, 0);
	my $ends = seconds_until(
		sub {
			return 1 if $ended->();
			my $now = most_memory();
			$memory = $now if $now > $memory;
			my ($bytes, $times) = $fake->counts;
			$struck_at //= time if $times;
			return 0 unless $s->{expect} eq 'hangs' && defined $struck_at;
			$hung = $s->{flood} ? $bytes > $flood_bytes || time > $struck_at + $flood_time : time > $struck_at + 0.3 * $slowness;
			return $hung;
		},
		$hang_limit);
	if (!defined $ends)
	{
		push @wrong, 'it hangs';
		$hung = 1;
	}
	my $cancelled = 0;
	if ($hung && !$ended->())
	{
		$cancelled = 1;
		ask('SELECT fastcopy.cancel(job) FROM fastcopy.live_jobs()');
		my $taken = seconds_until(sub { return $ended->() && !processes() }, $cancel_limit);
		push @wrong, 'cancel does not end it' unless defined $taken;
		note sprintf '%s: gone %.1f s after cancel', $name, $taken if defined $taken && $taken > 1;
	}
	my ($bytes, $times) = $fake->counts;
	$fake->stop;
	if (!defined seconds_until(sub { return $ended->() && !processes() }, 5 * $slowness))
	{
		push @wrong, 'not even the end of the source ends it';
		kill 'KILL', processes();
		seconds_until(sub { return $ended->() }, 20 * $slowness);
	}
	$psql->finish;
	push @wrong, 'the server does not come back'
	  unless defined seconds_until(sub { return defined ask('SELECT 1') }, 30 * $slowness);

	my $error = error_parts($stderr);
	my $told  = "$error->{sqlstate}: $error->{message}" . ($error->{detail} ne '' ? " ($error->{detail})" : '');
	$told = substr($told, 0, 300) . '...' if length $told > 300;
	my $done = $stderr !~ /ERROR|FATAL/ && $stdout =~ /^\d+$/m;
	push @wrong, 'the source has done nothing' unless $times || $name =~ /as they are/;
	push @wrong, 'neither a result nor an error' if !$done && $error->{sqlstate} eq '';
	if ($done)
	{
		push @wrong, 'it is done' if $s->{expect} =~ /fails|hangs/;
		push @wrong, 'the rows are not right'
		  if table_digest($target, $into) ne $right_rows;
	}
	elsif (!$cancelled || $error->{sqlstate} ne '57014')
	{
		# The error of a job that was cancelled may have come first.
		push @wrong, "it failed: $told" if $s->{expect} eq 'done';
		# XX000 means a bug of ours; the real server may also report one for a falsified query.
		push @wrong, "SQLSTATE makes no sense: $told"
		  if $error->{sqlstate} =~ /^00/ || ($error->{sqlstate} eq 'XX000' && $error->{context} !~ /statement on the source/);
		push @wrong, "not the error that was expected: $told"
		  if $s->{error} && $error->{message} !~ $s->{error} && $error->{detail} !~ $s->{error};
	}

	my $log = slurp_file($target->logfile, $log_start);
	my @crashes = $log =~ /^(.*(?:terminated by signal|PANIC: |TRAP: |Sanitizer).*)$/mg;
	push @wrong, "it crashes: $crashes[0]" if @crashes;
	push @wrong, 'the log has what the source planted' if $s->{not_in_log} && $log =~ $s->{not_in_log};
	push @wrong, sprintf 'it filled the log: %d MB', length($log) / 1e6 if length $log > 100e6;
	push @wrong, sprintf 'it took %d MB', $memory / 1e6 if $memory > $memory_limit && !$s->{memory};

	# The ledger's text must be readable, and say what has happened.
	my $ledger = ask(qq(
		SELECT (SELECT count(*) FROM fastcopy.status WHERE state NOT IN ('done', 'failed', 'cancelled')),
			(SELECT count(*) FROM $into) - coalesce((SELECT sum(rows) FROM fastcopy.chunks WHERE state = 'done'), 0),
			(SELECT count(convert_to(concat(error, detail, hint, context), 'UTF8')) FROM fastcopy.status) >= 0
			AND (SELECT count(convert_to(c::text, 'UTF8')) FROM fastcopy.chunks c) >= 0));
	push @wrong, 'the ledger cannot be read' unless defined $ledger;
	my ($unended, $not_done) = split /\|/, $ledger // '0|0';
	push @wrong, 'the ledger has a job without an end' if $unended;
	push @wrong, 'the target has rows of chunks that are not done' if $not_done;

	note sprintf '%s: %.1f s, %d MB sent, %d MB of memory: %s', $name, time - $began, $bytes / 1e6, $memory / 1e6,
	  $done ? 'done' : $cancelled ? 'cancelled' : $told;
	ok(!@wrong, $name) or diag join "\n", @wrong;
	no_leftovers($source, $target, $name);
	return;
}

my $wanted = $ENV{FASTCOPY_SCENARIO};
for my $scenario (@scenarios)
{
	next if defined $wanted && $scenario->{name} !~ /$wanted/;
	next if $ENV{FASTCOPY_MEASURED_ONLY} && !$scenario->{measures};
	next if $scenario->{measures} && defined $ENV{FASTCOPY_TEST_UNDER};    # which has a malloc of its own
	run_scenario($scenario);
}

# The questions of fastcopy.check and fastcopy.clone about definitions. Whatever a source answers, a check ends with findings or one
# ERROR, and a clone that fails has created nothing. Each field of each answer is falsified in several ways; rows, too.
$source->safe_psql('postgres', q(CREATE ROLE granted; CREATE DATABASE shop TEMPLATE template0));
$source->safe_psql('shop', q(
	CREATE EXTENSION citext;
	CREATE SCHEMA sales;
	CREATE TYPE sales.mood AS ENUM ('sad');
	CREATE COLLATION sales.plain FROM "C";
	CREATE TABLE customers (id serial PRIMARY KEY, name citext);
	CREATE TABLE sales.orders (id bigserial PRIMARY KEY, customer int REFERENCES customers, m sales.mood, note text COLLATE sales.plain);
	CREATE TABLE events (id int PRIMARY KEY, what text) PARTITION BY RANGE (id);
	CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (100);
	CREATE TABLE event_notes (event int REFERENCES events);
	CREATE FOREIGN DATA WRAPPER nothing;
	CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
	CREATE FOREIGN TABLE far (a int) SERVER nowhere;
	INSERT INTO customers (name) VALUES ('a'), ('b');
	INSERT INTO sales.orders (customer) VALUES (1), (2);
	INSERT INTO events VALUES (1, 'x');
	GRANT SELECT ON sales.orders TO granted;
	SELECT lo_from_bytea(7001, 'one'), lo_from_bytea(7002, 'two');
	COMMENT ON LARGE OBJECT 7001 IS 'the first';
	GRANT SELECT ON LARGE OBJECT 7002 TO granted WITH GRANT OPTION));
$target->safe_psql('postgres', 'CREATE ROLE granted');

sub make_empty_shop
{
	$target->safe_psql('postgres', 'DROP DATABASE IF EXISTS empty_shop WITH (FORCE)');
	$target->safe_psql('postgres', 'CREATE DATABASE empty_shop TEMPLATE template0');
	$target->safe_psql('empty_shop', 'CREATE EXTENSION pg_fastcopy; SELECT lo_create(9001)');
	return;
}
make_empty_shop();

# By name: the question, the number of fields of its answer, the arguments that have it asked; and a row of an answer, where an
# honest source has none.
my $some = q(tables => '{customers,sales.orders,events}');
my %of_check = (
	patterns    => [ qr/^SELECT FROM pg_catalog\.pg_class c.*LIMIT 1$/s, 0, $some ],
	tables      => [ qr/^WITH RECURSIVE m AS/, 7 ],
	partitions  => [ qr/^WITH RECURSIVE p AS/, 1, $some ],
	foreign     => [ qr/^SELECT pg_catalog\.concat\(pg_catalog\.quote_ident.*ARRAY\['f'\]/s, 1 ],
	filters     => [ qr/^SELECT \$1::pg_catalog\.regclass::pg_catalog\.oid$/, 1, q(filters => '{"customers": "id > 0"}') ],
	roles       => [ qr/, o\(role, need\) AS/, 4 ],
	extensions  => [ qr/SELECT e\.extname, e\.extversion/, 2 ],
	tablespaces => [ qr/SELECT DISTINCT s\.spcname/, 1, '', ['nothing'] ],
	collations  => [ qr/SELECT DISTINCT n\.nspname, l\.collname/, 6 ],
	schemas     => [ qr/SELECT DISTINCT n\.nspname FROM c/, 1, $some ],
	types       => [ qr/SELECT DISTINCT n\.nspname, b\.typname/, 2, $some ],
	limits      => [ qr/^SELECT s\.most - s\.reserved/, 5 ],
	relations   => [ qr/SELECT pg_catalog\.count\(DISTINCT r\.oid\)/, 2 ],
	kinds       => [ qr/bool_or\(r\.oid = c\.oid/, 5 ],
	encodings   => [ qr/^SELECT pg_catalog\.pg_encoding_to_char/, 2 ],
	sizes       => [ qr/pg_total_relation_size/, 3 ],
	keys        => [ qr/string_agg\(r\.oid::pg_catalog\.text/, 1 ],
	dangling    => [ qr/^SELECT DISTINCT pg_catalog\.concat.*confrelid/s, 3, '', [qw(public.nothing public nothing)] ],
	clashes     => [ qr/FROM \(SELECT 'relation'/, 3 ],
	engines     => [ qr/^SELECT e\.extname FROM/, 1, '', ['citus'] ],
	objects     => [ qr/^SELECT pg_catalog\.min\(m\.oid\)/, 1 ],
	subscriptions => [ qr/^SELECT s\.subname/, 1, '', ['nothing'] ]);
my %of_clone = (
	tables      => $of_check{tables},
	partitions  => [ $of_check{partitions}[0], 1, q(tables => '{events}') ],
	dangling    => $of_check{dangling},
	partitioned => [ qr/^SELECT k\.oid FROM pg_catalog\.pg_constraint k/, 1 ],
	sequences   => [ qr/^SELECT pg_catalog\.concat\(.*pg_class c JOIN.*oid\[\]\) ORDER BY 1$/s, 1 ],
	values      => [ qr/^SELECT 0, last_value, is_called FROM/, 3 ],
	objects     => [ qr/^SELECT l\.oid, pg_catalog\.quote_ident\(pg_catalog\.pg_get_userbyid/, 4 ],
	contents    => [ qr/pg_catalog\.lo_get/, 2 ],
	grants      => [ qr/aclexplode\(l\.lomacl\)/, 4 ]);
my %any_field = (
	'NULL'                    => undef,
	'an empty text'           => '',
	'a space'                 => ' ',
	'a text with quotes'      => qq(x'y"z\\; SELECT 1; --),
	'a text with a line end'  => qq("x\n-- y\ny"),
	'a text of 1 MB'          => 'x' x 1_000_000,
	'a text in no encoding'   => "\xff\xfe",
	'a number below 0'        => '-1',
	'a number of 2^63'        => '9223372036854775808',
	'a number of 30 digits'   => '9' x 30,
	'formats'                 => '%s%n%m');
my %any_row = (
	'nulls'        => sub { return map { undef } @_ },
	'empty texts'  => sub { return map { '' } @_ },
	'a field more' => sub { return (@_, 'x') },
	'a field less' => sub { return @_[ 1 .. $#_ ] });
my %any_rows = (
	(map { $_ => $any_answer{$_} } 'no columns', 'one column', 'a COPY instead', 'only its completion'),
	'rows twice'         => sub { instead_of('D', sub { return message('D', $_[1]) x 2 }) },
	'a row of no fields' => sub { before('C', data_row()) },
	'an error'           => sub { answer(error_response(M => "no\n%s", D => 'x' x 1_000_000)) });

my $left_of_clone = q(SELECT (SELECT count(*) FROM pg_class WHERE relnamespace::regnamespace::text !~ '^(?:pg_|information_schema|fastcopy)'),
	(SELECT count(*) FROM pg_namespace), (SELECT count(*) FROM pg_largeobject_metadata), (SELECT count(*) FROM fastcopy.status));

my $left_before = $target->safe_psql('empty_shop', $left_of_clone);

# Asks the falsified source; returns what is wrong with what comes of it.
sub ask_about_definitions
{
	my ($function, $question, $more, $change) = @_;
	my @wrong;
	my $log_start = -s $target->logfile;
	my $fake      = FakeSource->new($source, who => qr/^fastcopy (?!.* definitions$)/, on => $question, change => $change);
	my $call      = "fastcopy.$function('" . $fake->conninfo(dbname => 'shop') . "', workers => 1" . ($more ? ", $more" : '') . ')';
	my $sql = "SET statement_timeout = '${hang_limit}s'; SELECT " . ($function eq 'check' ? "count(c::text) FROM $call c" : $call);
	my (undef, $stdout, $stderr) = run_verbose($target, $sql, dbname => 'empty_shop');
	my (undef, $times) = $fake->counts;
	$fake->stop;
	my $error = error_parts($stderr);
	my $told  = substr "$error->{sqlstate}: $error->{message}", 0, 300;
	my $failed = $stderr =~ /ERROR|FATAL/;
	push @wrong, 'it was not asked' unless $times;
	push @wrong, "it hangs: $told" if $error->{sqlstate} eq '57014';
	push @wrong, "SQLSTATE makes no sense: $told"
	  if $failed && ($error->{sqlstate} =~ /^(?:00|$)/ || ($error->{sqlstate} eq 'XX000' && $error->{context} !~ /statement on the source/));
	push @wrong, 'neither a result nor an error' if !$failed && $stdout !~ /^\d+$/m;
	push @wrong, 'more than one error' if (() = $stderr =~ /^ERROR/mg) > 1;
	my @crashes = slurp_file($target->logfile, $log_start) =~ /^(.*(?:terminated by signal|PANIC: |TRAP: |Sanitizer).*)$/mg;
	push @wrong, "it crashes: $crashes[0]" if @crashes;
	if ($function eq 'clone' && !$failed)
	{
		# An answer that is possible. What came of it does not matter.
		eval { $target->safe_psql('empty_shop', "SELECT fastcopy.wait($stdout)") };
		make_empty_shop();
	}
	elsif ($target->safe_psql('empty_shop', $left_of_clone) ne $left_before)
	{
		push @wrong, 'something is left of it';
	}
	return @wrong;
}

my $every_way = ($ENV{PG_TEST_EXTRA} // '') =~ /\bmalicious\b/;
my $turns     = 0;
for my $case ([ check => \%of_check ], [ clone => \%of_clone ])
{
	my ($function, $questions) = @$case;
	for my $name (sort keys %$questions)
	{
		my ($question, $count, $more, $row) = @{ $questions->{$name} };
		next if $ENV{FASTCOPY_MEASURED_ONLY} || defined $wanted && "$function $name" !~ /$wanted/;
		my @wrong;
		# All of them only on request: that takes long.
		my $turn   = $every_way ? 0 : $turns++;
		my $chosen = sub {
			my ($n, @all) = @_;
			return $every_way ? @all : @all[ grep { ($_ + $n) % 4 == 0 } 0 .. $#all ];
		};
		my $try = sub {
			my ($what, $change) = @_;
			push @wrong, map { "$what: $_" } ask_about_definitions($function, $question, $more, $change);
		};
		my $rows = sub {
			my ($change) = @_;
			return $row ? before('C', data_row($change->(@$row))) : fields($change);
		};
		$try->($_, $any_rows{$_}->()) for grep { !($row || !$count) || $_ ne 'rows twice' } $chosen->($turn, sort keys %any_rows);
		$try->($_, $rows->($any_row{$_})) for grep { $count } $chosen->($turn, sort keys %any_row);
		for my $field (0 .. $count - 1)
		{
			for my $what ('NULL', 'a text of 1 MB', $chosen->($turn + $field, grep { !/NULL|1 MB/ } sort keys %any_field))
			{
				$try->("field $field, $what", $rows->(sub { my @fields = @_; $fields[$field] = $any_field{$what}; return @fields }));
			}
		}
		ok(!@wrong, "definitions: $function, question $name") or diag join "\n", @wrong;
	}
	no_leftovers($source, $target, "definitions: $function", dbname => 'empty_shop');
}

is((split /\n/, slurp_file($target->data_dir . '/postmaster.pid'))[0], $postmaster, 'the server has not been restarted');
$target->stop;
done_testing();
