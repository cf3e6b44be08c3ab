# Tortures pg_fastcopy; scripts/torture starts the servers and calls this.
#
#     torture.pl work bindir seconds seed small_disk [engine]
#
# Two servers, named source and target, run in the work directory, and without a small_disk also a standby of the
# target. With an engine, which stores the target's tables, there is neither of the latter; with citus there is
# another node of its cluster. The network between source and target fails on command. Jobs run one after another,
# each of a random kind and with random faults (Torture::Job, Torture::Faults), while another table of the source is
# being written to. small_disk is a directory on a small file system, or empty. The same seed makes the same random
# choices; their timing depends on the machine.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../../t/lib";

use FastcopyProxy;
use POSIX ();
use Time::HiRes qw(sleep time);
use Torture::Engine;
use Torture::Job;
use Torture::Others;
use Torture::Server;
use Torture::Tables;

my ($work, $bindir, $seconds, $seed, $small_disk, $engine) = @ARGV;
$engine //= '';
$ENV{PATH} = "$bindir:$ENV{PATH}";
$| = 1;
$SIG{PIPE} = 'IGNORE';
my $interrupted = '';
$SIG{INT} = $SIG{TERM} = sub { $interrupted = $_[0] };

my $source = Torture::Server->new(name => 'source', work => $work, bindir => $bindir, port => 5501);
my $target = Torture::Server->new(name => 'target', work => $work, bindir => $bindir, port => 5502);
my $node =
  $engine eq 'citus' ? Torture::Server->new(name => 'node', work => $work, bindir => $bindir, port => 5503) : undef;
my $keeper = Torture::Engine->new(name => $engine, target => $target, node => $node);
Torture::Tables::use_engine($engine);

# Random numbers of our own (Marsaglia's xorshift): other callers of rand() do not change the sequence.
my $state = ($seed * 2654435769 + 1) % 4294967295 + 1;
my $random = sub {
	$state ^= $state << 13 & 0xffffffff;
	$state ^= $state >> 17;
	$state ^= $state << 5 & 0xffffffff;
	return $state / 4294967296;
};
$random->() for 1 .. 20;

$keeper->prepare;
$target->rows('CREATE EXTENSION pg_fastcopy');
$target->rows("CREATE TABLESPACE small_disk LOCATION '$small_disk/tablespace'") if $small_disk;
Torture::Tables::prepare($source);
my $standby = $small_disk || $engine ? undef : Torture::Server->new(name => 'standby', work => $work, bindir => $bindir, port => 5503);
Torture::Others::prepare_standby($target);
my $proxy = FastcopyProxy->new($source->{path});

# A job uses one of these sources. Jobs with a foreign server are resumed automatically if the module is preloaded:
# with every other seed.
my $conninfo = "host=127.0.0.1 port=@{[ $proxy->port ]} dbname=postgres user=postgres";
$target->rows("CREATE SERVER source FOREIGN DATA WRAPPER pg_fastcopy
	OPTIONS (host '127.0.0.1', port '@{[ $proxy->port ]}', dbname 'postgres')");
$target->rows("CREATE USER MAPPING FOR postgres SERVER source OPTIONS (user 'postgres')");
my $amcheck = eval { $target->rows('CREATE EXTENSION amcheck'); 1 };
my $preloaded = $seed % 2;
if ($preloaded)
{
	$target->rows('ALTER SYSTEM SET shared_preload_libraries = ' . $keeper->libraries('pg_fastcopy'));
	$target->stop('fast');
	$target->start;
}

# Writes to another table of the source, so that transactions begin and end while jobs run.
my $main   = $$;
my $writer = fork // die "could not fork: $!\n";
if ($writer == 0)
{
	$SIG{INT} = 'IGNORE';
	$SIG{TERM} = 'DEFAULT';
	my $n = 0;
	while (getppid() == $main)
	{
		eval {
			my $session = FastcopySession->connect(path => $source->{path}, name => 'writer');
			while (getppid() == $main)
			{
				$session->query('UPDATE public.elsewhere SET n = n + 1 WHERE id = ' . (1 + $n++ % 100));
				sleep 0.005;
			}
		};
		sleep 0.02;
	}
	POSIX::_exit(0);
}

my $begin = time;
my $world = {
	source     => $source,
	target     => $target,
	standby    => $standby,
	node       => $node,
	engine     => $keeper,
	proxy      => $proxy,
	small_disk => $small_disk,
	conninfo   => $conninfo,
	server     => 'source',
	amcheck    => $amcheck,
	stop       => sub { $interrupted ne '' },
	kills      => 0,
	count      => {},
	problems   => {},
	others     => {},
	map { $_ => 0 } qw(jobs proved refused resumes failed_resumes rows chunks rows_lost rows_twice comparisons)
};

# A process that crashed without being killed by us.
my $killed = 0;
sub check_logs
{
	my ($job) = @_;
	for my $server (grep { $_ } $source, $target, $standby, $node)
	{
		my $log = $server->new_log;
		for (split /\n/, $log)
		{
			next if $keeper->explains_panic($_, $log);
			if (/terminated by signal 9\b/) { $killed++ }
			elsif (/PANIC: |TRAP: |terminated by signal|stuck spinlock|AddressSanitizer/)
			{
				$job->problem('crashes', "$server->{name}: $_");
			}
		}
	}
	$job->problem('crashes', "$killed processes were killed, but $world->{kills} of them by us") if $killed > $world->{kills};
	$killed = $world->{kills};
	return;
}

sub run_jobs
{
	my $number = 0;
	while (!$interrupted && time - $begin < $seconds)
	{
		my $job = Torture::Job::draw($random, ++$number, small_disk => $small_disk);
		$job->{history} = [];
		$job->{world}   = $world;
		my ($ask_standby, $indexes) = ($random->() < 0.1, $random->() < 0.5 ? 'keep' : 'rebuild');
		if (!eval { Torture::Others::copy_from_standby($world, $job, $indexes) if $ask_standby && $standby; $job->run($world); 1 })
		{
			my $error = ref $@ ? "$@->{sqlstate} $@->{message}" : $@;
			$job->problem('errors', "the torture itself failed: $error");
			# Whatever the failure, the servers are needed again.
			eval { $proxy->flow; $proxy->admit; $proxy->release };
			for my $server (grep { $_ } $source, $target, $node)
			{
				$server->disconnect;
				if (Torture::Server::alive($server->{pid})) { $server->stop('immediate') }
				$server->start;
			}
		}
		check_logs($job);
		printf "%4d s  %4d jobs  %5d faults  %4d resumes  %s\n", time - $begin, $number, faults(),
		  $world->{resumes}, $job->describe
		  if $ENV{TORTURE_VERBOSE} || $number % 20 == 0;
		print map { "      $_\n" } @{ $job->{history} } if ($ENV{TORTURE_VERBOSE} || 0) > 1;
	}
	for my $name ($interrupted ? () : Torture::Tables::names(1))
	{
		die "the source has changed\n"
		  if Torture::Tables::digest($source, $name) ne Torture::Tables::table($name)->{digest};
	}
	return;
}

sub faults
{
	my $sum = 0;
	$sum += $_->[0] // 0 for values %{ $world->{count} };
	return $sum;
}

sub report
{
	printf "\n%-32s %8s %8s %8s\n", 'fault', 'hit', 'missed', 'seconds';
	printf "%-32s %8d %8d %8.1f\n", $_, map { $_ // 0 } @{ $world->{count}{$_} || [] }[ 0 .. 2 ]
	  for grep { ($small_disk || $_ ne 'disk_full') && ($node || !/^node_/) } Torture::Faults::kinds();
	printf "\n%-32s %8s\n", 'the job stopped as', 'times';
	printf "%-32s %8d\n", $_, $world->{stops}{$_} for sort keys %{ $world->{stops} };
	printf "\n%-32s %8s\n", 'others, and what came of it', 'times';
	printf "%-32s %8d\n", $_, $world->{others}{$_} for sort keys %{ $world->{others} };
	my %lines = (
		engine          => $engine || 'none',
		seed            => $seed,
		seconds         => int(time - $begin),
		jobs            => $world->{jobs},
		'jobs proved'   => $world->{proved},
		'jobs that rightly refused to be resumed' => $world->{refused},
		'chunks'        => $world->{chunks},
		'rows copied'   => $world->{rows},
		resumes         => $world->{resumes},
		'auto-resume'   => $preloaded ? 'on' : 'off',
		'looks at ledger and rows' => $world->{comparisons},
		'failed calls of resume' => $world->{failed_resumes},
		'faults'        => faults(),
		'rows lost'     => $world->{rows_lost},
		'rows duplicated' => $world->{rows_twice},
		map { $_ => $world->{problems}{$_} // 0 } qw(stuck leftovers crashes false_alarms errors));
	print "\n";
	printf "%-32s %8s\n", $_, $lines{$_}
	  for 'engine', 'seed', 'seconds', 'auto-resume', 'jobs', 'jobs proved', 'jobs that rightly refused to be resumed', 'chunks', 'rows copied', 'looks at ledger and rows', 'resumes', 'failed calls of resume', 'faults',
	  'rows lost', 'rows duplicated', qw(stuck leftovers crashes false_alarms errors);
	print "\nskipped: disk_full, since no small file system could be mounted\n" unless $small_disk || $engine;
	return;
}

my $completed = eval { run_jobs(); 1 };
print "\n!! $@" unless $completed;
kill 'TERM', $writer;
waitpid $writer, 0;
$proxy->stop;
report();
if ($interrupted)
{
	print "\ninterrupted\n";
	exit 130;
}
exit($completed && !%{ $world->{problems} } && $world->{jobs} ? 0 : 1);
