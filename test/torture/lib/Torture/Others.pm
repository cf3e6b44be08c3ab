# Actions of others on the target of a job: sessions that insert, truncate, rewrite, drop an index, detach a
# partition, and jobs with the same target. Between jobs there is one whose source is a standby of the target, which
# must not truncate, as the standby would lose the rows too.
#
# Statements that wait for a job give up after a short while, as most of them do. The effects of those that succeed
# are kept in the job (Torture::Job), for the proof at its end:
#
#     disturbed          rows may have been taken away before the job was done: it must not end done without them
#     emptied_afterwards ... when it was done already: nothing can be said of the rows any more
#     rewritten          the table has other files, with the same rows: resume may ask whether that is all right
#     inserted           rows that others have added: they must be there at the end, beside the job's
#     detached           a partition that is no longer the table's, and the statement that puts it back
#     indexes_left       how many indexes the table has now
#     rival              the id of another job that copies the same rows into the same table
package Torture::Others;

use strict;
use warnings;

use FastcopySession;
use Torture::Tables;

my $patience_ms = 200;

# Runs statements in a transaction, queries the job within it, and ends it. Returns the job's state after the
# statements, and the result of the last one; undef if they had to wait.
sub _in_transaction
{
	my ($world, $end, @statements) = @_;
	my $session = FastcopySession->connect(path => $world->{target}{path}, name => 'others');
	my ($state, $value);
	my $done = eval {
		$session->query($_) for 'BEGIN', "SET LOCAL lock_timeout = $patience_ms";
		$value = $session->value($_) for @statements;
		$state = $session->value("SELECT state FROM fastcopy.status WHERE job = $world->{job}");
		$session->query($end);
		1;
	};
	my $failure = $@;
	$session->close;
	return ($state, $value) if $done;
	die $failure unless ref $failure && $failure->{sqlstate} =~ /^(?:55P03|40P01)$/;
	$world->{others}{'had to wait'}++;
	return;
}

sub _note_passed
{
	my ($world, $what, $state) = @_;
	$world->{others}{"$what, job " . ($state // 'forgotten')}++;
	return;
}

sub truncate
{
	my ($world, $fault) = @_;
	my $job = $world->{current};
	return 0 unless $world->{job};
	my $rolled_back = $fault->{n} <= 2;
	my ($state) = _in_transaction($world, $rolled_back ? 'ROLLBACK' : 'COMMIT', "TRUNCATE public.$job->{table}") or return 1;
	_note_passed($world, $rolled_back ? 'TRUNCATE rolled back' : 'TRUNCATE', $state);
	return 1 if $rolled_back;
	$job->{ ($state // '') eq 'done' ? 'emptied_afterwards' : 'disturbed' } = 1;
	$job->{inserted} = 0;
	return 1;
}

# New files with the same rows. Not in a transaction.
sub rewrite
{
	my ($world, $fault) = @_;
	my $job = $world->{current};
	return 0 unless $world->{job};
	my $session = FastcopySession->connect(path => $world->{target}{path}, name => 'others');
	# It rewrites a table's partitions, or chunks, one by one: some of them may have new files when it gives up.
	my $done = eval { $session->query($_) for "SET lock_timeout = $patience_ms", "VACUUM FULL public.$job->{table}"; 1 };
	my $failure = $@;
	$session->close;
	my $table = Torture::Tables::table($job->{table});
	$job->{rewritten} = 1 if $done || $table->{leaves} || $table->{engine};
	die $failure unless $done || (ref $failure && $failure->{sqlstate} =~ /^(?:55P03|40P01|53100)$/);
	$done ? _note_passed($world, 'VACUUM FULL', $job->state) : $world->{others}{'had to wait'}++;
	return 1;
}

# A job allows others to insert rows.
sub insert
{
	my ($world, $fault) = @_;
	my $job = $world->{current};
	return 0 unless $world->{job};
	my $first = $Torture::Tables::id_of_others - 10 * ++$job->{inserts};
	my ($state) = _in_transaction($world, 'COMMIT',
		"INSERT INTO public.$job->{table} (id) SELECT $first - i FROM generate_series(1, $fault->{n}) i") or return 1;
	$job->{inserted} = ($job->{inserted} // 0) + $fault->{n};
	_note_passed($world, 'INSERT', $state);
	return 1;
}

sub drop_index
{
	my ($world, $fault) = @_;
	my $job = $world->{current};
	return 0 unless $world->{job};
	my @names = $world->{target}->column(qq(
		SELECT i.indexrelid::regclass FROM pg_index i
		WHERE i.indrelid = 'public.$job->{table}'::regclass
			AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
		ORDER BY i.indexrelid), once => 1);
	return 0 unless @names;
	my $name = $names[ int($fault->{which} * @names) ];
	my ($state, $left) = _in_transaction($world, 'COMMIT', "DROP INDEX $name",
		Torture::Tables::index_count_sql($job->{table})) or return 1;
	$job->{indexes_left} = $left;
	_note_passed($world, 'DROP INDEX', $state);
	return 1;
}

# A partition is detached, and attached at once or when the job has stopped.
sub detach
{
	my ($world, $fault) = @_;
	my $job    = $world->{current};
	my $leaves = Torture::Tables::table($job->{table})->{leaves};
	return 0 unless $world->{job} && $leaves && !$job->{detached};
	my @names  = sort keys %$leaves;
	my $name   = $names[ int($fault->{which} * @names) ];
	my $detach = "ALTER TABLE public.$job->{table} DETACH PARTITION public.$name";
	my $attach = "ALTER TABLE public.$job->{table} ATTACH PARTITION public.$name $leaves->{$name}";
	my $at_once = $fault->{n} <= 3;
	# ATTACH does not use an index that is set aside for the partitioned table's: it creates another one.
	my ($state, $indexes) = _in_transaction($world, 'COMMIT', $detach, $at_once ? $attach : (),
		Torture::Tables::index_count_sql($job->{table})) or return 1;
	$job->{indexes_left} = $indexes;
	_note_passed($world, $at_once ? 'DETACH and ATTACH' : 'DETACH', $state);
	$job->{detached} = { attach => $attach, afterwards => ($state // '') eq 'done' } unless $at_once;
	return 1;
}

# Another job into the same table. While this one runs, that is an error unless neither truncates nor rebuilds. A job
# truncates when it starts, not when it is resumed.
sub rival
{
	my ($world, $fault) = @_;
	my $job = $world->{current};
	return 0 unless $world->{job} && !$job->{rival};
	my $table = Torture::Tables::table($job->{table});
	my ($truncate, $rebuild) = ($fault->{n} == 1, $fault->{n} == 2 && !$table->{engine});
	$truncate = 1 if !$table->{twice} && !$rebuild;

	my $was = $job->incarnation;
	return 0 unless defined $was;
	my $exclusive = $truncate || $rebuild || $job->{indexes} eq 'rebuild' || $job->{clone} || ($job->{truncate} && $was == 0);
	my ($id, $failure) = $job->start_rival($truncate, $rebuild);
	my $is = $job->incarnation;
	if (!defined $id)
	{
		my $text = ref $failure ? "$failure->{sqlstate} $failure->{message}" : $failure;
		if ($text =~ /is the target of fastcopy job/)
		{
			$world->{others}{'second job refused'}++;
			$job->problem('errors', "a second job was refused: $text") unless $exclusive;
			return 1;
		}
		$job->problem('errors', "a second job does not start: $text") unless $job->is_explained($failure);
		return 0;
	}
	$job->{rival} = $id;
	if ($exclusive && defined $is && $is == $was)
	{
		$job->problem('errors', "job $id was started into the target of job $job->{id} while that ran");
		$job->{abandoned} = 1;
	}
	elsif ($truncate || $rebuild)
	{
		# This job had stopped: the table now belongs to the other one.
		$job->{abandoned} = 1;
	}
	$world->{others}{ $job->{abandoned} ? 'second job instead' : 'second job beside' }++;
	return 1;
}

my $rows_kept = 2000;

sub prepare_standby
{
	my ($target) = @_;
	$target->rows('CREATE TABLE public.kept (id bigint PRIMARY KEY, name text)');
	$target->rows("INSERT INTO public.kept SELECT i, 'name ' || i FROM generate_series(1, $rows_kept) i");
	return;
}

sub copy_from_standby
{
	my ($world, $job, $indexes) = @_;
	my ($target, $standby) = @$world{qw(target standby)};
	my $source  = "host=$standby->{work}/standby port=$standby->{port} dbname=postgres user=postgres";
	my $session = FastcopySession->connect(path => $target->{path});
	my $copied  = eval {
		$session->value("SELECT fastcopy.copy('$source', 'public.kept', 'public.kept', 2, truncate => true, indexes => '$indexes')");
	};
	my $failure = $@;
	$session->close;
	if (defined $copied) { $job->problem('errors', "a standby of the target was copied into it, with truncate: $copied rows") }
	elsif ($failure->{message} =~ /^cannot truncate /) { $world->{others}{'copy from the standby refused'}++ }
	# It may not have recovered from a crash of the target yet.
	elsif ($failure->{sqlstate} !~ /^(?:08|57)/) { $job->problem('errors', "copy from the standby: $failure->{sqlstate} $failure->{message}") }
	my $rows = $target->value('SELECT count(*) FROM public.kept WHERE name = $$name $$ || id');
	return if $rows == $rows_kept;
	$world->{rows_lost} += $rows_kept - $rows;
	$job->problem('rows', "after a copy from the standby the target has $rows rows of $rows_kept");
	$target->rows('DROP TABLE public.kept');
	prepare_standby($target);
	return;
}

1;
