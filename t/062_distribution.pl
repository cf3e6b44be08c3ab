# META.json conforms to PGXN's specification (version 1.0.0), and all files name the same version.
use strict;
use warnings;

use FindBin;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::RealBin/..";
my $meta = eval { decode_json(slurp_file("$root/META.json")) };
ok($meta, 'META.json is JSON') or BAIL_OUT($@);

my $version = qr/^(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[A-Za-z][-0-9A-Za-z]*)?$/;
my $term    = qr/^[^\s\/\\\x00-\x1f]{2,}$/;
my $word    = sub { defined $_[0] && !ref $_[0] && $_[0] ne '' };

# Required keys exist, and all others are known ones or extensions (x_...).
my %known = map { $_ => 1 } qw(name version abstract maintainer license provides meta-spec description generated_by no_index prereqs
  release_status resources tags);
is_deeply([ grep { !$known{$_} && !/^x_/i } sort keys %$meta ], [], 'all keys are known');
like($meta->{name}, $term, 'name');
like($meta->{version}, $version, 'version');
ok($word->($meta->{$_}), $_) for qw(abstract maintainer);
like($meta->{license}, qr/^(?:agpl_3|apache_1_1|apache_2_0|artistic_[12]|bsd|freebsd|gfdl_1_[23]|gpl_[123]|lgpl_(?:2_1|3_0)|mit|mozilla_1_[01]|openssl|perl_5|postgresql|qpl_1_0|ssleay|sun|zlib|open_source|restricted|unrestricted|unknown)$/, 'license');
is($meta->{'meta-spec'}{version}, '1.0.0', 'meta-spec');
like($meta->{'meta-spec'}{url}, qr{^https?://pgxn\.org/meta/spec\.txt$}, 'and where it is');
like($meta->{release_status}, qr/^(?:stable|testing|unstable)$/, 'release_status');
ok(ref $meta->{tags} eq 'ARRAY' && !(grep { ref || !length || length > 256 || m{[/\\\x00-\x1f]} } @{ $meta->{tags} }), 'tags');

is_deeply([ keys %{ $meta->{provides} } ], ['pg_fastcopy'], 'provides the extension');
my $extension = $meta->{provides}{pg_fastcopy};
like($extension->{version}, $version, 'its version');
ok(-f "$root/$extension->{$_}", "its $_ is there") for qw(file docfile);
for my $phase (values %{ $meta->{prereqs} })
{
	ok(!(grep { !/^(?:requires|recommends|suggests|conflicts)$/ } keys %$phase), 'relations of what it needs');
	like($_, qr/^(?:0|(?:(?:>=?|<=?|[!=]=)?\s*\d+\.\d+\.\d+(?:,\s*)?)+)$/, 'version of what it needs') for map { values %$_ } values %$phase;
}

# The same version everywhere.
my ($default) = slurp_file("$root/pg_fastcopy.control") =~ /^default_version = '(.*)'/m;
is($meta->{version}, $default, 'META.json has the version of the control file');
is($extension->{version}, $default, 'also of the extension');
my ($first) = slurp_file("$root/CHANGELOG.md") =~ /^## (\S+)/m;
is($first, $default, 'the changelog begins with it');
my ($debian) = slurp_file("$root/debian/changelog") =~ /^\S+ \(([^)-]*)/;
is($debian =~ s/~.*//r, $default, "so does Debian's");
my %from;
/pg_fastcopy--(?:(.*)--)?([^-]*)\.sql$/ and $from{$2}{ $1 // '' } = 1 for glob "$root/extension/*.sql";
my @reached = ($default);
for (@reached) { push @reached, grep { $_ ne '' } keys %{ $from{$_} } if @reached < 100; }
ok((grep { $from{$_}{''} } @reached), 'and it can be installed');

done_testing();
