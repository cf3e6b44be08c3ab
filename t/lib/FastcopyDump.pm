# The definitions of a database as text, to compare those of two databases.
#
# pg_dump orders objects that nothing else tells apart by their OIDs, which differ between a database and its copy. So the
# text is cut into its entries, each with the comment above it, which are sorted. In all else databases with the same
# definitions have the same text.
#
#     is(differing_definitions($conninfo, $other_conninfo), '', 'the definitions are the same');
package FastcopyDump;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run ();

our @EXPORT = qw(differing_definitions);

# The entries of a text of pg_dump, without what differs from run to run. A setting that concerns an entry precedes the
# entry's comment, but only if the last entry had another: it becomes a part of each.
sub _entries
{
	my ($text) = @_;
	$text =~ s/^\\(?:un)?restrict .*\n//mg;
	$text =~ s/^--\n-- PostgreSQL database dump complete\n--\n//m;
	my ($before, @pieces) = split /^--\n-- (?=Name: )/m, $text;
	my (%setting, @entries);
	# Before version 12 there is no other, and nothing sets it.
	$setting{default_table_access_method} = 'heap';
	for my $piece (@pieces)
	{
		$setting{$1} = $2 while $before =~ /^SET (default_tablespace|default_table_access_method) = (.*);$/mg;
		$before = $piece;
		$piece =~ s/^SET (?:default_tablespace|default_table_access_method) = .*;\n//mg;
		$piece =~ s/\s+\z/\n/;
		my ($type) = $piece =~ /^Name: .*; Type: (.*?); Schema: /;
		my @of_type =
		    $type =~ /^(?:INDEX|CONSTRAINT)$/ || $piece =~ /^PARTITION BY /m ? 'default_tablespace'
		  : $type =~ /^(?:TABLE|MATERIALIZED VIEW)$/                         ? ('default_tablespace', 'default_table_access_method')
		  :                                                                    ();
		push @entries, join '', $piece, map { "$_: $setting{$_}\n" } @of_type;
	}
	return @entries;
}

sub _definitions
{
	my ($conninfo, @options) = @_;
	my $rewrite = ref $options[0] ? shift @options : sub { return $_[0] };
	my ($text, $error);
	IPC::Run::run([ 'pg_dump', '--schema-only', @options, '-d', $conninfo ], '>', \$text, '2>', \$error)
	  or die "pg_dump has failed: $error\n";
	return map { $rewrite->($_) } _entries($text);
}

# What only one of two databases has, given by connection strings; '' if they are the same. More options of pg_dump may
# be given, after a function that rewrites an entry, for servers that write the same in different words.
sub differing_definitions
{
	my ($ours, $theirs, @options) = @_;
	my %balance;
	$balance{$_}++ for _definitions($ours,   @options);
	$balance{$_}-- for _definitions($theirs, @options);
	my $differing = '';
	for my $entry (grep { $balance{$_} } sort keys %balance)
	{
		my $mark = $balance{$entry} > 0 ? '<' : '>';
		$differing .= $entry =~ s/^/$mark /mgr;
	}
	return $differing;
}

1;
