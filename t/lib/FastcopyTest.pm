# What the TAP tests of pg_fastcopy share: a source and a target server, errors taken apart, waits
# that poll, and the proof that a job has left nothing behind.
#
# The target keeps its dynamic shared memory in files (dynamic_shared_memory_type = mmap), one
# file per segment, so that a segment that outlives its job can be counted. PostgreSQL itself makes
# segments of 1 MB and more, for statistics and parallel queries; a job's area and our registry are
# far smaller, and that is how they are told apart.
#
# Nothing here sleeps for a fixed time to let something happen: every wait polls for a condition, up
# to a limit that only a failing test reaches.
package FastcopyTest;

use strict;
use warnings;

use Exporter 'import';
use FastcopyInitdb;
use FastcopySession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

our @EXPORT = qw(
  start_pair on_both conninfo add_scram_role call_sql table_digest compare_total no_leftovers state_of
  wait_state fails_with run_verbose seconds_until gone error_parts wait_exit quit_quietly major_version $slowness
);

# Where a limit of its own belongs to a wait, it is longer by this factor: under valgrind all takes longer.
our $slowness = ($ENV{FASTCOPY_TEST_UNDER} // '') eq 'valgrind' ? 20 : 1;

# Most of what tests ask is one statement, and what they wait for they ask again and again. A psql for each costs ten
# times as much as the answer. So safe_psql and poll_query_until ask by themselves where psql would do nothing
# but send the statement and print what it returns, and leave the rest to it. A new session costs several times as much
# as an answer, too: a wait keeps its sessions until it is over.
my %by_psql;
our $kept;    # within seconds_until: sessions, by socket and database

sub _is_plain
{
	my ($node, $dbname, $sql) = @_;
	return defined $dbname && $dbname =~ /^\w+$/ && defined $sql && $sql !~ /;\s*\S|\\|^\s*COPY\b/i
	  && -S _socket($node) && !grep { defined $ENV{$_} } qw(PGOPTIONS PGUSER PGCLIENTENCODING PGTZ PGDATESTYLE);
}

sub _socket { return $_[0]->host . '/.s.PGSQL.' . $_[0]->port }

sub _connect
{
	my ($node, $dbname) = @_;
	return FastcopySession->connect(
		path   => _socket($node),
		dbname => $dbname,
		user   => scalar getpwuid($<),
		name   => $ENV{PGAPPNAME});
}

# What psql -XAtq would print.
sub _ask
{
	my ($node, $dbname, $sql) = @_;
	my $place   = _socket($node) . " $dbname";
	my $session = $kept && delete $kept->{$place};
	my $rows    = $session && eval { $session->query($sql, 3600) };
	# The server may have been restarted since the last question.
	die $@ if $session && !$rows && $@->{sqlstate} !~ /^(?:08|57P)/;
	if (!$rows)
	{
		$session->close if $session;
		$session = _connect($node, $dbname);
		$rows    = eval { $session->query($sql, 3600) };
		my $failure = $@;
		$session->close if !$rows || !$kept;
		die $failure unless $rows;
	}
	$kept->{$place} = $session if $kept;
	return join "\n", map { join '|', map { $_ // '' } @$_ } @$rows;
}

sub _safe_psql
{
	my ($node, $dbname, $sql, %params) = @_;
	return $by_psql{safe_psql}->(@_) if %params || !_is_plain($node, $dbname, $sql);
	my $answer = eval { _ask($node, $dbname, $sql) };
	return $answer if defined $answer;
	die $@ unless ref $@;
	# There was no session at all: psql says why.
	return $by_psql{safe_psql}->(@_) if $@->{sqlstate} =~ /^(?:08001|57P03|53300)$/;
	die "error running SQL: '$@->{sqlstate} $@->{message}" . ($@->{detail} ? " $@->{detail}" : '') . "'\nwith sql '$sql'\n";
}

sub _poll_query_until
{
	my ($node, $dbname, $sql, $expected) = @_;
	return $by_psql{poll_query_until}->(@_) unless _is_plain($node, $dbname, $sql);
	$expected = 't' unless defined $expected;
	my $answer;
	return 1 if defined seconds_until(
		sub {
			$answer = eval { _ask($node, $dbname, $sql) } // (ref $@ ? "$@->{sqlstate} $@->{message}" : die $@);
			return $answer eq $expected;
		});
	diag "timed out waiting for $expected from this query:\n$sql\nlast answer:\n$answer";
	return 0;
}

{
	no warnings 'redefine';
	$by_psql{$_} = PostgreSQL::Test::Cluster->can($_) for qw(safe_psql poll_query_until);
	*PostgreSQL::Test::Cluster::safe_psql        = \&_safe_psql;
	*PostgreSQL::Test::Cluster::poll_query_until = \&_poll_query_until;
}

# Clusters speak UTF-8 and sort by byte on every machine. Tests decide what else happens in the
# background: nothing. A job of several chunks waits for the source's WAL, and thus for its WAL writer.
my $settings = q(
autovacuum = off
wal_writer_delay = 10ms
max_worker_processes = 24
max_connections = 60
);

my @pair;    # that start_pair started last

# Starts a source and a target, with the extension created in database postgres of the target.
# Options: source_conf and target_conf (lines for postgresql.conf), source_initdb and
# target_initdb (array references), name (a prefix, for a file that starts several pairs).
sub start_pair
{
	my (%opts) = @_;
	my $prefix = defined $opts{name} ? "$opts{name}_" : '';
	my $source = PostgreSQL::Test::Cluster->new("${prefix}source");
	my $target = PostgreSQL::Test::Cluster->new("${prefix}target");

	$source->init(extra => [ '--encoding=UTF8', '--locale=C', @{ $opts{source_initdb} || [] } ]);
	$source->append_conf('postgresql.conf', $settings . ($opts{source_conf} || ''));
	$source->start;

	$target->init(extra => [ '--encoding=UTF8', '--locale=C', @{ $opts{target_initdb} || [] } ]);
	$target->append_conf('postgresql.conf',
		$settings . "dynamic_shared_memory_type = mmap\n" . ($opts{target_conf} || ''));
	$target->start;
	$target->safe_psql('postgres', 'CREATE EXTENSION pg_fastcopy');
	return @pair = ($source, $target);
}

# Runs SQL on both servers of the pair that was started last.
sub on_both
{
	my ($sql) = @_;
	$_->safe_psql('postgres', $sql) for @pair;
	return;
}

# The version of a server, as 15.
sub major_version
{
	my ($node) = @_;
	return int($node->safe_psql('postgres', 'SHOW server_version_num') / 10000);
}

# The connection string of a node, for fastcopy.start. More keywords may be given, which win.
# It holds no quote, so that it can stand between quotes in SQL.
sub conninfo
{
	my ($node, %more) = @_;
	my %words = (
		host   => $node->host,
		port   => $node->port,
		dbname => 'postgres',
		%more);
	return join ' ', map { "$_=$words{$_}" } sort keys %words;
}

# Creates a role that the node asks for its password, 'sesame'. Attributes as of CREATE ROLE may be given.
sub add_scram_role
{
	my ($node, $role, $attributes) = @_;
	$attributes //= '';
	$node->safe_psql('postgres',
		"SET password_encryption = 'scram-sha-256'; CREATE ROLE $role LOGIN PASSWORD 'sesame' $attributes");
	my $hba   = $node->data_dir . '/pg_hba.conf';
	my $lines = slurp_file($hba);
	unlink $hba;
	append_to_file($hba, "local all $role scram-sha-256\nhost all $role all scram-sha-256\n$lines");
	$node->reload;
	return;
}

# A value as SQL: a string becomes a literal, undef NULL; a reference to a string is SQL already.
sub _literal
{
	my ($value) = @_;
	return 'NULL' unless defined $value;
	return $$value if ref $value;
	$value =~ s/'/''/g;
	return "'$value'";
}

# A call of start or copy as SQL. The arguments that are not given say: all of public.items of the
# source into public.items.
sub call_sql
{
	my ($function, $source, %arguments) = @_;
	my %all = (
		source       => conninfo($source),
		source_table => 'public.items',
		target_table => 'public.items',
		%arguments);
	return "fastcopy.$function("
	  . join(', ', map { "$_ => " . _literal($all{$_}) } sort keys %all) . ')';
}

# The rows of a table as one string, the same for the same rows in any order.
sub table_digest
{
	my ($node, $table, $dbname) = @_;
	return $node->safe_psql($dbname || 'postgres',
		"SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM $table t");
}

# The last row that fastcopy.compare returns for two tables of the pair that was started last:
# 'source_rows|target_rows|differs'. Further arguments are SQL.
sub compare_total
{
	my ($from, $to, @more) = @_;
	my ($source, $target) = @pair;
	return $target->safe_psql('postgres',
		'SELECT source_rows, target_rows, differs FROM fastcopy.compare('
		  . join(', ', map({ _literal($_) } conninfo($source), $from, $to), @more, 'workers => 2')
		  . ") WHERE range = 'total'");
}

# Calls the function until it returns true, or the limit has passed. Returns the seconds that took,
# or undef.
sub seconds_until
{
	my ($condition, $limit) = @_;
	my $begin = time;
	$limit = $PostgreSQL::Test::Utils::timeout_default unless defined $limit;
	local $kept = {};
	my $seconds;
	for (;;)
	{
		my $reached = eval { $condition->() ? 1 : 0 };
		my $failure = $@;
		$seconds = time - $begin;
		last if $reached;
		if (!defined $reached || $seconds > $limit)
		{
			$_->close for values %$kept;
			die $failure unless defined $reached;
			return undef;
		}
		usleep(10_000);
	}
	$_->close for values %$kept;
	return $seconds;
}

# True when none of these processes of the local machine exists.
sub gone
{
	return !grep { kill 0, $_ } @_;
}

# The state of a job.
sub state_of
{
	my ($target, $job) = @_;
	return $target->safe_psql('postgres', "SELECT state FROM fastcopy.status WHERE job = $job");
}

# Waits until a job is in one of the given states (a name, or several divided by |). Dies when it
# does not get there: what follows would make no sense.
sub wait_state
{
	my ($target, $job, $state, %opts) = @_;
	my $dbname = $opts{dbname} || 'postgres';
	my $now    = '';
	my $taken  = seconds_until(
		sub {
			$now = $target->safe_psql($dbname,
				"SELECT state FROM fastcopy.status WHERE job = $job");
			return $now =~ /^(?:$state)$/;
		},
		$opts{limit});
	return $now if defined $taken;
	my $job_row = $target->safe_psql($dbname,
		"SELECT state, sqlstate, error, detail, context FROM fastcopy.status WHERE job = $job");
	die "job $job did not reach state $state, it is: $job_row\n";
}

# Files of dynamic shared memory on the target that are too small to be PostgreSQL's own, besides
# those that are there for good: the control segment, the registry, and what an engine may keep.
sub _extra_segments
{
	my ($target, $of_engine) = @_;
	my $kept  = 2 + ($of_engine // 0);
	my @small = grep { (-s $_ // 0) < 1024 * 1024 } glob($target->data_dir . '/pg_dynshmem/mmap.*');
	return @small > $kept ? @small - $kept : 0;
}

# Asserts, as one test, that nothing of any job is left on either side: no worker in the registry,
# no process, no session on the source, no shared memory, no lock. All of these end a moment after the
# job does, so this polls. Sessions of the test must not have locks at this time. Options: dbname, limit,
# engine_segments (of shared memory, that the target may have for good).
sub no_leftovers
{
	my ($source, $target, $name, %opts) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $dbname = $opts{dbname} || 'postgres';
	my %left;
	my $on_target = q(
		SELECT (SELECT count(*) FROM fastcopy.workers),
		       (SELECT count(*) FROM fastcopy.live_jobs()),
		       (SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'fastcopy%'),
		       (SELECT count(*) FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
		        WHERE l.pid IS DISTINCT FROM pg_backend_pid() AND l.locktype <> 'virtualxid'
		        AND a.backend_type IS DISTINCT FROM 'autovacuum worker'));
	my $on_source = q(
		SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'fastcopy%');

	my $taken = seconds_until(
		sub {
			my ($workers, $jobs, $processes, $locks) =
			  split /\|/, $target->safe_psql($dbname, $on_target);
			%left = (
				'rows in fastcopy.workers' => $workers,
				'jobs in the registry'     => $jobs,
				'processes'                => $processes,
				'locks on the target'      => $locks,
				'shared memory segments'   => _extra_segments($target, $opts{engine_segments}),
				'sessions on the source'   => $source->safe_psql('postgres', $on_source));
			return !grep { $_ ne '0' } values %left;
		},
		$opts{limit} || 10 * $slowness);
	my $result = ok(defined $taken, "$name: nothing is left behind");
	if (!$result)
	{
		diag "left: ", join ', ', map { "$left{$_} $_" } grep { $left{$_} ne '0' } sort keys %left;
		diag $target->safe_psql($dbname,
			q(SELECT pid, backend_type, application_name, wait_event, query
			  FROM pg_stat_activity WHERE backend_type LIKE 'fastcopy%')
		);
		diag $source->safe_psql('postgres',
			q(SELECT pid, application_name, state, wait_event, query
			  FROM pg_stat_activity WHERE application_name LIKE 'fastcopy%')
		);
	}
	return $result;
}

# Takes the first error in psql's verbose output apart: a reference to a hash with sqlstate,
# message, detail, hint and context (empty strings for what is not there).
sub error_parts
{
	my ($stderr) = @_;
	my %parts = map { $_ => '' } qw(sqlstate message detail hint context);
	return \%parts unless $stderr =~ /(?:ERROR|FATAL|PANIC):  (\w{5}): (.*)/s;
	my ($sqlstate, $rest) = ($1, $2);
	my @pieces = split
	  /^(DETAIL|HINT|QUERY|CONTEXT|LOCATION|LINE \d+|(?:SCHEMA|TABLE|COLUMN|DATATYPE|CONSTRAINT) NAME):[ ]*/m,
	  $rest;
	$parts{sqlstate} = $sqlstate;
	$parts{message}  = shift @pieces;
	while (@pieces >= 2)
	{
		my ($what, $text) = splice @pieces, 0, 2;
		last if $what eq 'LOCATION';
		$parts{ lc $what } = $text if exists $parts{ lc $what };
	}
	s/\s+$// for values %parts;
	return \%parts;
}

# Runs SQL, which may fail, and returns (exit status, stdout, stderr) with all there is to know of
# errors. Options: dbname, user.
sub run_verbose
{
	my ($node, $sql, %opts) = @_;
	my ($stdout, $stderr) = ('', '');
	my @extra = ('-v', 'VERBOSITY=verbose');
	push @extra, '-U', $opts{user} if defined $opts{user};
	my $status = $node->psql(
		$opts{dbname} || 'postgres', $sql,
		stdout        => \$stdout,
		stderr        => \$stderr,
		on_error_stop => 1,
		on_error_die  => 0,
		extra_params  => \@extra);
	return ($status, $stdout, $stderr);
}

# Asserts, as one test, that the SQL fails with this SQLSTATE and a message that matches. Options:
# detail, hint, context (patterns that must match too), dbname, user. Returns the parts of the error.
sub fails_with
{
	my ($target, $sql, $sqlstate, $message, $name, %opts) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($status, $stdout, $stderr) = run_verbose($target, $sql, %opts);
	my $parts = error_parts($stderr);
	my @wrong;
	push @wrong, "it succeeded and returned '$stdout'" if $status == 0;
	push @wrong, "SQLSTATE is '$parts->{sqlstate}', not $sqlstate"
	  if $parts->{sqlstate} ne $sqlstate;
	push @wrong, "the message does not match $message" if $parts->{message} !~ $message;
	for my $part (qw(detail hint context))
	{
		push @wrong, "the $part does not match $opts{$part}"
		  if defined $opts{$part} && $parts->{$part} !~ $opts{$part};
	}
	ok(!@wrong, $name) or diag join("\n", @wrong), "\n", $stderr;
	return $parts;
}

# Waits for the end of psql in a background session whose statement or connection the test has
# ended; returns what it wrote to stderr.
sub wait_exit
{
	my ($session) = @_;
	eval { $session->{run}->finish; };
	return $session->{stderr};
}

# Ends a background session that may have lost its server.
sub quit_quietly
{
	my ($session) = @_;
	eval { $session->quit; };
	return;
}

1;
