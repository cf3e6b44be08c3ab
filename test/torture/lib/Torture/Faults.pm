# The faults, and how often each is chosen.
#
# A fault and all of its random choices are drawn before its job starts: they depend on the seed alone. It is injected
# at its time, and returns whether it has hit anything: a job may be between two states in which there is no process
# to kill. When a fault returns, all servers are up, the network works, and the disk has space; what follows is the
# job's own recovery.
package Torture::Faults;

use strict;
use warnings;

use Time::HiRes qw(sleep time);
use Torture::Others;
use Torture::Server;

# kind => [weight, function]
my %faults = (
	# Processes of the job.
	worker_terminated      => [ 10, sub { _signal_backend(@_, 'worker',      'pg_terminate_backend') } ],
	worker_cancelled       => [ 3,  sub { _signal_backend(@_, 'worker',      'pg_cancel_backend') } ],
	worker_killed          => [ 3,  sub { _kill_process(@_,   'worker') } ],
	workers_terminated     => [ 4,  \&_terminate_workers ],
	workers_in_ledger      => [ 4,  \&_terminate_in_ledger ],
	coordinator_terminated => [ 5,  sub { _signal_backend(@_, 'coordinator', 'pg_terminate_backend') } ],
	coordinator_cancelled  => [ 2,  sub { _signal_backend(@_, 'coordinator', 'pg_cancel_backend') } ],
	coordinator_killed     => [ 2,  sub { _kill_process(@_,   'coordinator') } ],

	# Servers.
	target_killed    => [ 3, sub { _restart(@_, 'target', 'kill') } ],
	target_immediate => [ 2, sub { _restart(@_, 'target', 'immediate') } ],
	target_fast      => [ 2, sub { _restart(@_, 'target', 'fast') } ],
	source_killed    => [ 3, sub { _restart(@_, 'source', 'kill') } ],
	source_immediate => [ 1, sub { _restart(@_, 'source', 'immediate') } ],
	source_fast      => [ 2, sub { _restart(@_, 'source', 'fast') } ],

	# Another node of the cluster that the target belongs to.
	node_killed    => [ 6, sub { _restart(@_, 'node', 'kill') } ],
	node_immediate => [ 4, sub { _restart(@_, 'node', 'immediate') } ],
	node_fast      => [ 4, sub { _restart(@_, 'node', 'fast') } ],
	node_sessions_terminated => [ 8, \&_terminate_on_node ],

	# Sessions on the source.
	source_worker_terminated      => [ 10, sub { _signal_session(@_, 'pg_terminate_backend', 'fastcopy job % chunk %', 1) } ],
	source_workers_terminated     => [ 4,  sub { _signal_session(@_, 'pg_terminate_backend', 'fastcopy job % chunk %') } ],
	source_coordinator_terminated => [ 5,  sub { _signal_session(@_, 'pg_terminate_backend', 'fastcopy job % coordinator') } ],
	source_all_terminated         => [ 3,  sub { _signal_session(@_, 'pg_terminate_backend', 'fastcopy%') } ],
	source_worker_cancelled       => [ 3,  sub { _signal_session(@_, 'pg_cancel_backend',    'fastcopy job % chunk %', 1) } ],

	# The network.
	net_cut_all     => [ 6,  sub { my ($w, $f) = @_; $w->{proxy}->cut(how => $f->{how}) } ],
	net_cut_one     => [ 12, sub { my ($w, $f) = @_; $w->{proxy}->cut_one($f->{which}, how => $f->{how}) } ],
	net_stalled     => [ 6,  \&_stall ],
	net_stalled_cut => [ 5,  \&_stall_and_cut ],
	net_refused     => [ 4,  \&_refuse ],

	# The user.
	user_cancel => [ 5, \&_cancel ],
	set_workers => [ 6, \&_set_workers ],

	# Other users of the same table.
	other_truncate   => [ 10, \&Torture::Others::truncate ],
	other_rewrite    => [ 2, \&Torture::Others::rewrite ],
	other_insert     => [ 3, \&Torture::Others::insert ],
	other_drop_index => [ 6, \&Torture::Others::drop_index ],
	other_detach     => [ 12, \&Torture::Others::detach ],
	other_job        => [ 10, \&Torture::Others::rival ],

	# The disk; for jobs whose target is on the small one.
	disk_full => [ 12, \&_fill_disk ]);

# Faults that may be injected while the network stalls or refuses connections.
my @at_the_same_time = qw(worker_terminated coordinator_terminated user_cancel target_fast target_immediate
  worker_killed source_worker_terminated);

sub kinds { return sort keys %faults }

sub _choose
{
	my ($random, @kinds) = @_;
	my $total = 0;
	$total += $faults{$_}[0] for @kinds;
	my $at = $random->() * $total;
	for my $kind (@kinds)
	{
		$at -= $faults{$kind}[0];
		return $kind if $at < 0;
	}
	return $kinds[-1];
}

# The faults that this table allows.
sub _kinds_for
{
	my ($table) = @_;
	my $distributed = ($table->{engine} // '') eq 'citus';
	my %without     = (
		disk_full => !$table->{small_disk},
		(map { $_ => $table->{creates} } grep { /^other_/ } kinds()),
		$table->{creates} ? () : (
			other_detach     => !$table->{leaves},
			other_drop_index => !$table->{indexes}),
		map { $_ => !$distributed } grep { /^node_/ } kinds());
	return grep { !$without{$_} } kinds();
}

# Draws a fault. It always uses the same number of random numbers.
sub draw
{
	my ($random, $table, %opts) = @_;
	my @kinds = _kinds_for($table);
	my %fault = (
		kind  => _choose($random, @kinds),
		inner => _choose($random, @at_the_same_time),
		which => $random->(),
		how   => $random->() < 0.5 ? 'reset' : 'close',
		pause => 0.3 * $random->()**2,
		n     => 1 + int($random->() * 6),
		delay => $opts{delay} * $random->()**2);
	delete $fault{inner} if $random->() < 0.5 || $fault{kind} !~ /stalled|refused/;
	return \%fault;
}

# Draws an action of other users.
sub draw_other
{
	my ($random, $table) = @_;
	my $fault = draw($random, $table, delay => 0);
	$fault->{kind} = _choose($random, grep { /^other_/ && $_ ne 'other_job' } _kinds_for($table));
	delete $fault->{inner};
	return $fault;
}

# Injects a fault into the job; true if it has hit.
sub inject
{
	my ($world, $fault) = @_;
	my $begin = time;
	my $hit = eval { $faults{ $fault->{kind} }[1]->($world, $fault) ? 1 : 0 };
	if (!defined $hit)
	{
		# A server that is already shutting down because of the last fault is not hit again.
		die "$fault->{kind}: " . (ref $@ ? "$@->{sqlstate} $@->{message}\n" : $@)
		  unless ref $@ && $@->{sqlstate} =~ /^(?:08|57)/;
		$_->disconnect for grep { $_ } @$world{qw(source target node)};
		$hit = 0;
	}
	$world->{count}{ $fault->{kind} }[ $hit ? 0 : 1 ]++;
	$world->{count}{ $fault->{kind} }[2] += time - $begin;
	return $hit;
}

sub _pick
{
	my ($fault, @from) = @_;
	return @from ? $from[ int($fault->{which} * @from) ] : undef;
}

sub _process
{
	my ($world, $fault, $what) = @_;
	my $sql =
	  $what eq 'worker'
	  ? 'SELECT pid FROM fastcopy.workers WHERE pid <> 0 ORDER BY worker'
	  : 'SELECT coordinator_pid FROM fastcopy.live_jobs() WHERE coordinator_pid <> 0';
	return _pick($fault, grep { defined } $world->{target}->column($sql, once => 1));
}

sub _signal_backend
{
	my ($world, $fault, $what, $function) = @_;
	my $pid = _process($world, $fault, $what) or return 0;
	return $world->{target}->value("SELECT $function($pid)", once => 1) eq 't';
}

# All workers at once.
sub _terminate_workers
{
	my ($world) = @_;
	my @pids = grep { defined } $world->{target}->column('SELECT pid FROM fastcopy.workers WHERE pid <> 0', once => 1);
	return 0 unless @pids;
	$world->{target}->rows("SELECT pg_terminate_backend($_)", once => 1) for @pids;
	return 1;
}

# All workers, while they wait for the ledger: to read a chunk, or to mark it.
sub _terminate_in_ledger
{
	my ($world, $fault) = @_;
	my $session = FastcopySession->connect(path => $world->{target}{path}, name => 'ledger lock');
	my $mode = $fault->{n} <= 3 ? 'ACCESS EXCLUSIVE' : 'SHARE ROW EXCLUSIVE';
	my $hit  = eval {
		$session->query($_) for 'BEGIN', 'SET LOCAL lock_timeout = 500', "LOCK TABLE fastcopy.chunk IN $mode MODE";
		sleep $fault->{pause} / 2;
		_terminate_workers($world);
	};
	my $error = $@;
	$session->close;
	return 0 if ref $error && $error->{sqlstate} =~ /^(?:55P03|40P01)$/;
	die $error unless defined $hit;
	return $hit;
}

# SIGKILL: the postmaster terminates all other processes and recovers.
sub _kill_process
{
	my ($world, $fault, $what) = @_;
	my $pid = _process($world, $fault, $what) or return 0;
	my $target = $world->{target};
	my @children = $target->children;
	kill 'KILL', $pid or return 0;
	$world->{kills}++;
	my @left = Torture::Server::wait_gone(60, @children);
	die "processes of the target have survived the crash of a $what: @left\n" if @left;
	$target->disconnect;
	die "the target has not come back after the crash of a $what\n" unless $target->wait_ready;
	return 1;
}

sub _restart
{
	my ($world, $fault, $name, $how) = @_;
	$world->{$name}->stop($how);
	sleep $fault->{pause} if $name ne 'target';
	$world->{$name}->start;
	return 1;
}

# The target's sessions on the other node.
sub _terminate_on_node
{
	my ($world) = @_;
	return $world->{node}->value(q(SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) > 0 FROM pg_stat_activity
		WHERE application_name LIKE 'citus_internal%'), once => 1) eq 't';
}

sub _signal_session
{
	my ($world, $fault, $function, $pattern, $only_one) = @_;
	my $source = $world->{source};
	my @pids = $source->column(
		"SELECT pid FROM pg_stat_activity WHERE application_name LIKE '$pattern' ORDER BY pid", once => 1);
	@pids = _pick($fault, @pids) if $only_one && @pids;
	return 0 unless @pids;
	return $source->value("SELECT bool_or($function(pid)) FROM unnest('{" . join(',', @pids) . "}'::int[]) pid",
		once => 1) eq 't';
}

# Another fault, while the network does not work.
sub _meanwhile
{
	my ($world, $fault) = @_;
	sleep $fault->{pause} / 2;
	inject($world, { %$fault, kind => $fault->{inner}, inner => undef }) if $fault->{inner};
	sleep $fault->{pause} / 2;
	return;
}

sub _stall
{
	my ($world, $fault) = @_;
	my $hit = $world->{proxy}->stall;
	eval { _meanwhile($world, $fault); 1 } or do { my $error = $@; $world->{proxy}->flow; die $error };
	$world->{proxy}->flow;
	return $hit;
}

sub _stall_and_cut
{
	my ($world, $fault) = @_;
	my $proxy = $world->{proxy};
	my $hit   = $proxy->stall;
	my $error = eval { _meanwhile($world, $fault); 1 } ? undef : $@;
	$fault->{n} > 3 ? $proxy->cut(how => $fault->{how}) : $proxy->cut_one($fault->{which}, how => $fault->{how});
	$proxy->flow;
	die $error if $error;
	return $hit;
}

sub _refuse
{
	my ($world, $fault) = @_;
	my $proxy = $world->{proxy};
	$proxy->refuse;
	my $hit   = $proxy->cut(how => $fault->{how});
	my $error = eval { _meanwhile($world, $fault); 1 } ? undef : $@;
	$proxy->admit;
	die $error if $error;
	return $hit;
}

sub _cancel
{
	my ($world, $fault) = @_;
	return 0 unless $world->{job};
	return $world->{target}->value("SELECT fastcopy.cancel($world->{job})", once => 1) eq 't';
}

sub _set_workers
{
	my ($world, $fault) = @_;
	return 0 unless $world->{job};
	my $former = eval { $world->{target}->value("SELECT fastcopy.set_workers($world->{job}, $fault->{n})", once => 1) };
	die $@ if !defined $former && !(ref $@ && $@->{sqlstate} eq '55000');
	return defined $former;
}

# Fills the small disk until a process has got an error, or a while has passed.
sub _fill_disk
{
	my ($world, $fault) = @_;
	my $file = "$world->{small_disk}/filler";
	open my $filler, '>:unix', $file or die "could not open $file: $!\n";
	for my $size (65536, 512)
	{
		my $block = "\1" x $size;
		while (syswrite $filler, $block) { }
	}
	close $filler;
	my $deadline = time + 0.5 + $fault->{pause};
	my $hit      = 0;
	while (!$hit && time < $deadline)
	{
		my $state = eval {
			$world->{target}->value("SELECT sqlstate FROM fastcopy.status WHERE job = $world->{job}", once => 1);
		};
		$hit = 1 if ($state // '') eq '53100';
		sleep 0.02 unless $hit;
	}
	unlink $file or die "could not remove $file: $!\n";
	return $hit;
}

1;
