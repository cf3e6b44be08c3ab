# A job under torture: from fastcopy.start, through its faults, to the proof that no row was lost or doubled.
#
# Whatever stops the job, it is resumed until it is done, by us or automatically. After each fault and at each stop
# the target must have exactly as many rows as the ledger counts for the done chunks: one statement reads both, so
# that holds at any time. At the end both sides must be equal, the indexes valid, and nothing of the job may be left.
# The job's own counters prove nothing: the rows are counted and summed up here.
#
# Others may remove rows meanwhile (Torture::Others). Then the job may fail, and refuse to be resumed; but it must not
# end done without these rows.
package Torture::Job;

use strict;
use warnings;

use Time::HiRes qw(sleep time);
use Torture::Faults;
use Torture::Others;
use FastcopyDump;
use FastcopySession;
use Torture::Tables;

# Seconds without any progress or fault after which a job is stuck.
my $patience = 45;

# Errors that are explained by servers, networks, disks and users that fail. Any other one is our failure: a duplicate
# key, an internal error, a wrong count.
my $explained = qr/^(?:08\w{3}|57P0[123]|57014|57000|53100|53300|53400|25P03|55006|55000)$/;

my $stopped = qr/^(?:failed|cancelled|interrupted)$/;

# The processes of jobs; the launcher of auto-resume stays.
my $processes = q(backend_type ~ '^fastcopy (?!launcher)');

# Draws all random choices of a job.
sub draw
{
	my ($random, $number, %opts) = @_;
	my @names = Torture::Tables::names($opts{small_disk});
	my $name  = $names[ int($random->() * @names) ];
	my $table = Torture::Tables::table($name);
	my @sizes = @{ $table->{chunk_size} };
	my $job   = {
		number      => $number,
		table       => $name,
		workers     => 1 + int($random->() * 6),
		chunk_size  => $sizes[ int($random->() * @sizes) ],
		seconds     => 1 + 5 * $random->(),
		retry_limit => int($random->() * 6),
		truncate    => $random->() < 0.5,
		indexes     => $random->() < 0.5 ? 'rebuild' : 'keep',
		source      => $random->() < 0.5 ? 'server' : 'conninfo',
		forget      => $random->() < 0.7
	};
	$job->{indexes} = 'keep' if $table->{engine};
	my $full_speed = $random->() < 0.15;
	$job->{seconds} = 0 if $full_speed;
	my $count = 3 + int($random->() * 8);
	$job->{faults} = [
		map { Torture::Faults::draw($random, $table, delay => $full_speed ? 0.1 : 0.6) }
		  1 .. $count ];
	# A fault during fastcopy.start, and during each fastcopy.resume.
	$job->{in_start} = Torture::Faults::draw($random, $table, delay => 0.2) if $random->() < 0.2;
	$job->{resumes}  = [
		map {
			{
				workers => $random->() < 0.5 ? 'NULL' : 1 + int($random->() * 6),
				source  => $random->() < 0.5,
				# How its workers are terminated early: not at all, while they connect, or several times at short
				# intervals.
				workers_end => (qw(not not not connecting later later))[ int($random->() * 6) ],
				delays      => [ map { 0.05 * $random->()**2 } 1 .. 3 ],
				# Actions of others while it is stopped.
				others => [ $random->() < 0.1, Torture::Faults::draw_other($random, $table) ],
				fault  => [ $random->() < 0.15, Torture::Faults::draw($random, $table, delay => 0.2) ]
			}
		} 1 .. 40
	];
	# By fastcopy.clone, together with another table.
	$job->{clone} = $random->() < 0.3 && !$table->{arguments} && !$table->{engine} && !$table->{creates};
	if ($table->{creates})
	{
		# Half of the time goes to what follows the rows.
		@$job{qw(truncate indexes)} = (0, 'keep');
		$job->{seconds} /= 2;
		$_->{others}[0] = 0 for @{ $job->{resumes} };
	}
	return bless $job, 'Torture::Job';
}

sub describe
{
	my ($self) = @_;
	return sprintf 'job %d: %s by %s, %d workers, chunks of %d kB, %.1f s, retry_limit %d, %s indexes%s%s', $self->{number},
	  @$self{qw(table source workers chunk_size seconds retry_limit indexes)}, $self->{truncate} ? ', truncate' : '', $self->{clone} ? ', clone' : '';
}

# Logs what has happened to this job, for finding the cause of a failure.
sub _note
{
	my ($self, $text) = @_;
	push @{ $self->{history} }, sprintf '%.3f %s', time - $self->{begin}, $text;
	return;
}

sub problem
{
	my ($self, $kind, $text) = @_;
	my $world = $self->{world};
	$self->{begin} //= time;
	$world->{problems}{$kind}++;
	$self->_note("$kind: $text");
	print "\n!! $kind, ", $self->describe, "\n!! $text\n", map { "   $_\n" } @{ $self->{history} };
	return;
}

sub run
{
	my ($self, $world) = @_;
	$self->{world} = $world;
	$self->{begin} = time;
	$world->{current} = $self;
	$self->_start;
	my $fault_at = time + ($self->{faults}[0] ? $self->{faults}[0]{delay} : 0);
	my ($progress, $since) = ('', time);
	while (!$world->{stop}->() && !$self->{abandoned})
	{
		my $now = $self->_status or last;
		last if $now->{state} eq 'done';
		if ($now->{state} =~ $stopped)
		{
			$self->_stopped($now);
			last if $self->{abandoned} || !$self->_resume;
			$since    = time;
			$fault_at = time + $self->{faults}[0]{delay} if $self->{faults}[0];
			next;
		}
		if ($self->{faults}[0] && time >= $fault_at)
		{
			$self->_inject(shift @{ $self->{faults} });
			$since    = time;
			$fault_at = time + $self->{faults}[0]{delay} if $self->{faults}[0];
			next;
		}
		if ($now->{progress} ne $progress) { ($progress, $since) = ($now->{progress}, time) }
		elsif (time - $since > $patience)
		{
			$self->_stuck("no progress for $patience s in state $now->{state}: $progress");
			last;
		}
		sleep 0.01;
	}
	return if $world->{stop}->();
	$self->_end_rival if $self->{rival};
	$self->_put_back;
	$self->_prove unless $self->{gave_up} || $self->{refused} || $self->{abandoned};
	$self->_check_leftovers;
	$self->_clean_up;
	return;
}

sub state
{
	my ($self) = @_;
	return $self->{world}{target}->value("SELECT state FROM fastcopy.status WHERE job = $self->{id}");
}

# A value that is the same at two times only if the job has run all the while; undef if it does not run.
sub incarnation
{
	my ($self) = @_;
	return $self->{world}{target}->value(
		"SELECT resumes FROM fastcopy.status WHERE job = $self->{id} AND state IN ('copying', 'indexing')", once => 1);
}

sub is_explained
{
	my ($self, $failure) = @_;
	return ref $failure
	  && ($failure->{sqlstate} =~ $explained || $self->{world}{engine}->explains($failure)
		# It has a connection of its own.
		|| ($failure->{sqlstate} eq '38000' && $failure->{message} =~ /^pg_dump failed: /));
}

# The job's row; undef, with a message, if there is none.
sub _status
{
	my ($self) = @_;
	my $row = $self->{world}{target}->rows(qq(
		SELECT s.state, coalesce(s.sqlstate, ''), coalesce(s.error, ''), coalesce(s.context, ''),
			concat_ws(' ', s.chunks_done, s.rows_copied, (SELECT count(*) FROM fastcopy.definition d WHERE d.job = s.job AND d.done),
				(SELECT sum(w.rows_in_chunk) FROM fastcopy.workers w))
		FROM fastcopy.status s WHERE s.job = $self->{id}))->[0];
	if (!$row)
	{
		$self->problem('errors', 'the job is not in fastcopy.status');
		$self->{gave_up} = 1;
		return undef;
	}
	my %status;
	@status{qw(state sqlstate error context progress)} = @$row;
	return \%status;
}

sub _inject
{
	my ($self, $fault) = @_;
	my $hit = Torture::Faults::inject($self->{world}, $fault);
	$self->_note(sprintf '%s%s%s', $fault->{kind}, $fault->{inner} ? " and $fault->{inner}" : '',
		$hit ? '' : ' (hit nothing)');
	$self->_compare_with_ledger('running') if $self->{id};
	return;
}

sub _settle
{
	my ($self) = @_;
	return 1 if $self->{world}{engine}->settle;
	$self->problem('stuck', 'transactions stay prepared');
	return 0;
}

# Makes a call in a session of its own, with a fault during the call if there is one. Returns its value (undef: it
# failed), the failure, and whether the session still exists. With $held, the proxy holds the job's workers, and they
# are terminated there.
sub _call
{
	my ($self, $sql, $fault, $held) = @_;
	my $world = $self->{world};
	my ($value, $failure);
	my $session = eval { FastcopySession->connect(path => $world->{target}{path}) } or return (undef, $@, 0);
	eval {
		# Settings one by one: a query of several statements is one transaction.
		my @statements = @$sql;
		my $call       = pop @statements;
		$session->query($_) for @statements;
		$session->send_query($call);
		if ($fault)
		{
			sleep $fault->{delay};
			$self->_inject($fault);
		}
		if ($held)
		{
			$self->_end_workers($held);
			$world->{proxy}->release;
		}
		$value = $session->result($patience)->[0][0];
		1;
	} or $failure = $@;
	die $failure if defined $failure && !ref $failure;
	my $alive = eval { $session->query('SELECT 1'); 1 };
	$session->close;
	return ($value, $failure, $alive);
}

sub _settings
{
	my ($self) = @_;
	return ("SET fastcopy.chunk_size = $self->{chunk_size}", "SET fastcopy.retry_limit = $self->{retry_limit}",
		'SET fastcopy.retry_delay = 10');
}

# The call of fastcopy.start, with these arguments and those that the table needs.
sub _start_call
{
	my ($self, %more) = @_;
	my %arguments = (
		source       => $self->{world}{ $self->{source} },
		source_table => "public.$self->{table}",
		target_table => "public.$self->{table}",
		%{ Torture::Tables::table($self->{table})->{arguments} || {} },
		%more);
	return 'SELECT fastcopy.start(' . join(', ', map { "$_ => '$arguments{$_}'" } sort keys %arguments) . ')';
}

# The call of fastcopy.clone, for the table and its companion.
sub _clone_call
{
	my ($self, %more) = @_;
	my $filter    = delete $more{filter};
	my %arguments = (
		source      => $self->{world}{ $self->{source} },
		tables      => "{public.$self->{table},public.companion}",
		definitions => 'keep',
		$filter ? (filters => qq({"public.$self->{table}": "$filter"})) : (),
		%more);
	return 'SELECT fastcopy.clone(' . join(', ', map { "$_ => '$arguments{$_}'" } sort keys %arguments) . ')';
}

# The call of fastcopy.clone that creates the table's schema.
sub _create_call
{
	my ($self, %more) = @_;
	delete @more{qw(truncate indexes)};
	my $filter    = delete $more{filter};
	my $slowed    = Torture::Tables::slowed($self->{table});
	my %arguments = (
		source      => $self->{world}{ $self->{source} },
		tables      => "{$self->{table}.*}",
		definitions => 'create',
		$filter ? (filters => qq({"$slowed": "$filter"})) : (),
		%more);
	return 'SELECT fastcopy.clone(' . join(', ', map { "$_ => '$arguments{$_}'" } sort keys %arguments) . ')';
}

# Starts another job of the same rows into the same target; returns its id, or the failure.
sub start_rival
{
	my ($self, $truncate, $rebuild) = @_;
	my $target   = $self->{world}{target};
	my $last_job = $target->value('SELECT max(job) FROM fastcopy.job');
	my $call     = $self->_start_call(
		workers  => 2,
		truncate => $truncate ? 'true' : 'false',
		indexes  => $rebuild  ? 'rebuild' : 'keep');
	my ($job, $failure) = $self->_call([ $self->_settings, $call ]);
	$self->_stuck("a second start did not return: $failure->{message}") if $failure && $failure->{message} eq 'timeout';
	$job //= $target->value("SELECT max(job) FROM fastcopy.job WHERE job > $last_job");
	return ($job, $failure);
}

# Ends the other job: done, or cancelled if there is nothing to prove any more.
sub _end_rival
{
	my ($self) = @_;
	my $world    = $self->{world};
	my $target   = $world->{target};
	my $deadline = time + $patience;
	while (time < $deadline && !$world->{stop}->())
	{
		my ($state, $sqlstate, $error) = @{ $target->rows(
			"SELECT state, coalesce(sqlstate, ''), error FROM fastcopy.status WHERE job = $self->{rival}")->[0] };
		return if $state eq 'done';
		if ($self->{gave_up} || $self->{refused} || $self->{abandoned})
		{
			return if $state =~ $stopped;
			$target->rows("SELECT fastcopy.cancel($self->{rival})");
		}
		elsif ($state =~ $stopped)
		{
			$self->problem('errors', "the other job failed: $sqlstate $error")
			  unless $sqlstate eq '' || $self->is_explained({ sqlstate => $sqlstate, message => $error }) || $self->{disturbed};
			my ($job, $failure) = $self->_call([ $self->_settings, "SELECT fastcopy.resume($self->{rival})" ]);
			if (!defined $job && $self->_is_refusal($failure))
			{
				$self->{refused} = 1;
				next;
			}
			$self->problem('errors', "the other job is not resumed: $failure->{sqlstate} $failure->{message}")
			  unless defined $job || $self->is_explained($failure);
		}
		sleep 0.02;
	}
	$self->_stuck('the other job does not come to its end') unless $world->{stop}->();
	return;
}

sub _start
{
	my ($self) = @_;
	my $world  = $self->{world};
	my $target = $world->{target};
	my $table  = Torture::Tables::table($self->{table});
	Torture::Tables::make_target($target, $self->{table}, $self->{truncate});

	my $filter = Torture::Tables::filter($self->{table}, $self->{seconds});
	my @arguments = (
		workers  => $self->{workers},
		truncate => $self->{truncate} ? 'true' : 'false',
		indexes  => $self->{indexes},
		$filter ? (filter => $filter) : ());
	my $call =
	    $table->{creates} ? $self->_create_call(@arguments)
	  : $self->{clone}    ? $self->_clone_call(@arguments)
	  :                     $self->_start_call(@arguments);
	Torture::Tables::make_companion($target) if $self->{clone};

	my $last_job = $target->value('SELECT coalesce(max(job), 0) FROM fastcopy.job');
	my $fault    = $self->{in_start};
	for my $attempt (1 .. 20)
	{
		$world->{job} = 0;
		my ($job, $failure, $alive) = $self->_call([ $self->_settings, $call ], $fault);
		$fault = undef;
		# If the caller's session broke, only the ledger knows.
		my $in_ledger = $target->value("SELECT max(job) FROM fastcopy.job WHERE job > $last_job");
		$self->problem('errors', 'start failed, but there is a job: ' . $failure->{message})
		  if $failure && $alive && $in_ledger && $failure->{message} ne 'timeout';
		$self->_stuck("start did not return: $failure->{message}") if $failure && $failure->{message} eq 'timeout';
		$world->{job} = $self->{id} = $job // $in_ledger;
		if ($self->{id})
		{
			$world->{jobs}++;
			$self->_note("started, job $self->{id}");
			return;
		}
		$self->_note("start failed: $failure->{sqlstate} $failure->{message}");
		$self->problem('errors', "start failed: $failure->{sqlstate} $failure->{message}")
		  unless $self->is_explained($failure);
		sleep 0.05;
	}
	die "the job cannot be started\n";
}

# The job has stopped before its end: its processes must exit, unless it is resumed automatically.
sub _stopped
{
	my ($self, $now) = @_;
	my $world  = $self->{world};
	my $target = $world->{target};
	$self->_note("$now->{state} $now->{sqlstate} $now->{error}");
	$world->{stops}{"$now->{state} $now->{sqlstate}"}++;
	# A row whose partition is detached cannot be routed; and a job may notice the loss of its rows by any error.
	if ($now->{sqlstate} ne '' && !$self->is_explained({ sqlstate => $now->{sqlstate}, message => $now->{error} }) && !$self->{disturbed}
		&& !($self->{detached} && $now->{sqlstate} eq '23514'))
	{
		$self->problem('errors', "job failed: $now->{sqlstate} $now->{error} $now->{context}");
		$self->{abandoned} = 1 if ++$self->{unexplained} >= 3;
	}

	my $deadline = time + $patience;
	my $others   = '';
	$others = " AND pid NOT IN (SELECT pid FROM fastcopy.workers WHERE job = $self->{rival}
		UNION ALL SELECT coordinator_pid FROM fastcopy.live_jobs() WHERE job = $self->{rival})"
	  if $self->{rival};
	while ($target->value("SELECT count(*) FROM pg_stat_activity WHERE $processes$others"))
	{
		last if ($self->_status // return)->{state} !~ $stopped;
		if (time > $deadline)
		{
			$self->_stuck("the job reads $now->{state}, but has processes");
			last;
		}
		sleep 0.01;
	}
	$self->_compare_with_ledger;
	return;
}

# The condition on chunks that they are of the table, not of its companion.
sub _of_the_table
{
	my ($self) = @_;
	return $self->{clone} ? " AND relation !~ 'companion'" : '';
}

# A chunk's rows and its mark are either both stored or both not. For a distributed table that cannot be checked while
# the job runs.
#
# A plan has the partitions of its time. In READ COMMITTED the statement's snapshot is taken afterwards, and sees the
# mark of a chunk whose rows went to a partition created in between, but not the rows. REPEATABLE READ plans under its
# snapshot.
sub _compare_with_ledger
{
	my ($self, $running) = @_;
	my $world = $self->{world};
	return if grep { $self->{$_} } qw(disturbed emptied_afterwards abandoned);
	return if $world->{engine}->is_distributed && ($running || $self->{rival});
	$self->_settle or return;
	my $jobs = join ', ', grep { defined } @$self{qw(id rival)};
	my ($ledger, $rows) = @{ $world->{target}->rows(
		'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; '
		  . "SELECT (SELECT coalesce(sum(rows), 0) FROM fastcopy.chunk WHERE job IN ($jobs) AND done" . $self->_of_the_table . '), '
		  . Torture::Tables::count_sql($self->{table}))->[0] };
	$rows -= $self->{inserted} // 0;
	$world->{comparisons}++;
	return if $ledger == $rows;
	$world->{rows_lost} += $ledger - $rows if $ledger > $rows;
	$world->{rows_twice} += $rows - $ledger if $rows > $ledger;
	$self->problem('rows', "the target has $rows rows, the ledger's done chunks have $ledger");
	return;
}

# Attaches a partition again.
sub _put_back
{
	my ($self) = @_;
	my $detached = $self->{detached} or return;
	return if $self->{gave_up};
	# While the job is stopped, only another job can make that wait.
	$self->{world}{target}->rows("SET lock_timeout = 1000");
	for (1 .. 60)
	{
		my $done = eval { $self->{world}{target}->rows($detached->{attach}); 1 };
		$self->problem('errors', "the partition does not get back: $@->{sqlstate} $@->{message}")
		  unless $done || $@->{sqlstate} eq '55P03';
		last if $done || $@->{sqlstate} ne '55P03';
	}
	$self->{world}{target}->rows('RESET lock_timeout');
	$self->{indexes_left} = $self->{world}{target}->value(Torture::Tables::index_count_sql($self->{table}));
	delete $self->{detached};
	return;
}

sub _is_refusal
{
	my ($self, $failure) = @_;
	return $self->{disturbed} && ref $failure && $failure->{message} =~ /may have lost rows/;
}

# Terminates the workers of a job that is being resumed.
sub _end_workers
{
	my ($self, $how) = @_;
	my $world = $self->{world};
	my %fault = (%{ $how->{fault}[1] }, inner => undef);
	if ($how->{workers_end} eq 'connecting')
	{
		my $deadline = time + 0.5;
		while (!$world->{proxy}->held && time < $deadline) { sleep 0.005 }
		$self->_inject({ %fault, kind => 'workers_terminated' });
	}
	elsif ($how->{workers_end} eq 'later')
	{
		for (@{ $how->{delays} })
		{
			sleep $_;
			$self->_inject({ %fault, kind => 'workers_terminated' });
		}
	}
	return;
}

# Resumes the job until it runs again; false if that fails.
sub _resume
{
	my ($self) = @_;
	my $world    = $self->{world};
	my $deadline = time + $patience;
	while (time < $deadline && !$world->{stop}->())
	{
		my $how = shift @{ $self->{resumes} } // { workers => 'NULL' };
		my ($fault_too, $fault) = @{ $how->{fault} || [] };
		my ($others_too, $others) = @{ $how->{others} || [] };
		$self->_put_back;
		$self->_inject($others) if $others_too;
		return 0 if $self->{abandoned};
		my $source = $how->{source}         ? "'$world->{ $self->{source} }'" : 'NULL';
		my $accept = $self->{accept_changes} && !$self->{disturbed} ? 'true' : 'false';
		# The coordinator can connect, and none of its workers can.
		my $hold = ($how->{workers_end} // '') eq 'connecting' && !$self->{rival} && !$fault_too;
		$world->{proxy}->hold(1) if $hold;
		my ($job, $failure) = $self->_call(
			[ $self->_settings, "SELECT fastcopy.resume($self->{id}, $source, workers => $how->{workers}, accept_changes => $accept)" ],
			$fault_too ? $fault : undef, $hold ? $how : undef);
		$world->{proxy}->release if $hold;
		if (defined $job)
		{
			$self->_end_workers($how) if ($how->{workers_end} // '') eq 'later';
			$world->{resumes}++;
			$self->_note('resumed');
			$self->problem('errors', "resume returned $job") if $job != $self->{id};
			return 1;
		}
		$world->{failed_resumes}++;
		my $text = "$failure->{sqlstate} $failure->{message}";
		$self->_note("resume failed: $text");
		if ($failure->{message} eq 'timeout') { $self->_stuck('resume did not return'); return 0 }
		if ($self->_is_refusal($failure))
		{
			$self->{refused} = 1;
			$world->{refused}++;
			return 0;
		}
		if ($self->{rewritten} && $failure->{message} =~ /may have lost rows/) { $self->{accept_changes} = 1 }
		elsif ($self->{detached} && $failure->{message} =~ /may have lost rows/) { }    # it is put back before the next attempt
		elsif ($failure->{message} =~ /may have (?:changed|lost rows)/) { $self->problem('false_alarms', $text) }
		elsif (!$self->is_explained($failure)) { $self->problem('errors', "resume failed: $text") }
		# It may run all the same: the answer was lost, or it was resumed automatically.
		my $now = $self->_status or return 0;
		return 1 unless $now->{state} =~ $stopped;
		sleep 0.05;
	}
	$self->_stuck('resume does not succeed') unless $world->{stop}->();
	return 0;
}

# Prints what every process waits for, and restarts the servers.
sub _stuck
{
	my ($self, $text) = @_;
	my $world = $self->{world};
	for my $name (qw(target source))
	{
		my $rows = eval {
			$world->{$name}->rows(q(SELECT pid, application_name, state, wait_event, left(query, 200)
				FROM pg_stat_activity WHERE backend_type <> 'walwriter' AND pid <> pg_backend_pid()));
		};
		$self->_note(join ' | ', $name, map { $_ // '' } @$_) for @{ $rows || [] };
	}
	$self->problem('stuck', $text);
	$self->{gave_up} = 1;
	$world->{target}->stop('immediate');
	$world->{target}->start;
	return;
}

sub _prove
{
	my ($self) = @_;
	my $world = $self->{world};
	my $table = Torture::Tables::table($self->{table});
	$self->_settle;
	$world->{proved}++;
	$world->{rows} += $table->{rows};
	my ($done, $chunks, $rows) = @{ $world->{target}->rows(
		"SELECT count(*) FILTER (WHERE done), count(*), sum(rows) FROM fastcopy.chunk WHERE job = $self->{id}" . $self->_of_the_table)->[0] };
	$world->{chunks} += $chunks;
	my $companion = $self->{clone} && Torture::Tables::fault_of_companion($world->{target});
	$self->problem('rows', "companion: $companion") if $companion;
	$self->problem('rows', "the job is done with $done of $chunks chunks and $rows of $table->{rows} rows")
	  if $done != $chunks || $rows != $table->{rows};
	my ($indexes, $whole) = @{ $world->{target}->rows(qq(
		SELECT count(*), count(*) FILTER (WHERE indisvalid AND indisready AND indislive)
		FROM pg_index WHERE indrelid IN (@{[ Torture::Tables::relations($self->{table}) ]})))->[0] };
	my $indexes_left = $self->{indexes_left} // $table->{indexes};
	$self->problem('errors', "only $whole of $indexes indexes are there, of $indexes_left")
	  if $indexes != $indexes_left || $whole != $indexes;
	if ($world->{amcheck})
	{
		eval {
			$world->{target}->rows(qq(
				SELECT bt_index_check(i.indexrelid, true) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
				WHERE i.indrelid IN (@{[ Torture::Tables::relations($self->{table}) ]}) AND c.relkind = 'i' AND amname = 'btree'));
			1;
		} or $self->problem('errors', 'damaged index: ' . (ref $@ ? $@->{message} : $@));
	}
	return if $self->{emptied_afterwards};
	if ($table->{creates})
	{
		my $differing = differing_definitions((map { "host=$_->{work}/$_->{name} port=$_->{port} dbname=postgres user=postgres" } @$world{qw(source target)}),
			"--schema=$self->{table}");
		$self->problem('errors', "definitions differ:\n$differing") if $differing;
	}
	my $of_others = $table->{creates} ? 0 : $world->{target}->value(qq(
		WITH d AS (DELETE FROM public.$self->{table} WHERE id < $Torture::Tables::id_of_others RETURNING 1) SELECT count(*) FROM d));
	$self->problem('rows', "others have inserted $self->{inserted} rows, of which $of_others are there")
	  if $of_others != ($self->{inserted} // 0);
	my $copies = $self->{rival} ? 2 : 1;
	return if Torture::Tables::digest($world->{target}, $self->{table}) eq
	  Torture::Tables::digest_of_copies($world->{target}, $self->{table}, $copies);

	my ($lost, $twice) = Torture::Tables::differences(@$world{qw(source target)}, $self->{table}, $copies);
	my ($n_lost, $n_twice) = (0, 0);
	$n_lost  += $_->[1] for @$lost;
	$n_twice += $_->[1] for @$twice;
	$world->{rows_lost}  += $n_lost;
	$world->{rows_twice} += $n_twice;
	$self->problem('rows', "$n_lost rows lost, $n_twice rows too many, such as "
		  . join ', ', map { substr $_->[0], 0, 100 } grep { defined } @$lost[ 0 .. 2 ], @$twice[ 0 .. 2 ]);
	return;
}

# The leftovers on either side, a moment after the job.
sub _leftovers
{
	my ($world) = @_;
	my ($target, $source) = @$world{qw(target source)};
	my ($running, $workers, $jobs) = @{ $target->rows("
		SELECT (SELECT count(*) FROM pg_stat_activity WHERE $processes),
			(SELECT count(*) FROM fastcopy.workers), (SELECT count(*) FROM fastcopy.live_jobs())")->[0] };
	# PostgreSQL's own segments have 1 MB and more, except the control segment; the other one is the registry.
	my @segments = grep { (-s $_ // 0) < 1024 * 1024 } glob("$target->{data}/pg_dynshmem/mmap.*");
	my $kept     = 2 + $world->{engine}->segments;
	my %left     = (
		processes => $running,
		'workers in the registry' => $workers,
		'jobs in the registry'    => $jobs,
		'segments'                => @segments > $kept ? @segments - $kept : 0,
		'sessions on the source'  => $source->value(q(
			SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'fastcopy%')),
		connections => $world->{proxy}->connections);
	return map { "$left{$_} $_" } grep { $left{$_} } sort keys %left;
}

sub _check_leftovers
{
	my ($self) = @_;
	my $deadline = time + 15;
	while (my @left = _leftovers($self->{world}))
	{
		if (time > $deadline)
		{
			$self->problem('leftovers', join ', ', @left);
			return;
		}
		sleep 0.01;
	}
	return;
}

sub _clean_up
{
	my ($self) = @_;
	my $target = $self->{world}{target};
	$self->_settle;
	# A job whose indexes are still set aside cannot be forgotten, unless its table is dropped.
	my $whole = !$self->{gave_up} && !$self->{refused} && !$self->{abandoned};
	$target->rows("SELECT fastcopy.forget($self->{id})") if $self->{forget} && $whole;
	$target->rows('DROP TABLE IF EXISTS public.companion');
	Torture::Tables::drop_target($target, $self->{table});
	$target->rows("SELECT fastcopy.forget($_)") for grep { defined } $whole ? () : $self->{id}, $self->{rival};
	return;
}

1;
