# Random tables for comparing the fast insert path with COPY FROM: a source table with rows, and a target of another
# shape that can store them.
#
# A case is determined by a seed and its number. Targets have dropped columns, columns that only they have, generated
# columns, type modifiers, domains, CHECKs, indexes and, in some cases, triggers and defaults, which keep rows off the
# fast path. Leaves of partitioned targets are made by PARTITION OF or attached; the latter have a layout, generated
# columns, defaults, NOT NULL and CHECKs of their own. At most one row is made bad: with several, which one is reported
# first would depend on the sizes of batches.
package FastcopyShapes;

use strict;
use utf8;
use warnings;

use Digest::MD5 qw(md5_hex);
use Exporter 'import';
use List::Util qw(shuffle);

our @EXPORT = qw(random_case);

# Objects that the tables of a case need. Functions are found under every search_path.
our $prerequisites = q(
CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN public.small AS integer CHECK (value < 1000);
CREATE DOMAIN public.given AS text NOT NULL CHECK (value <> 'forbidden');
CREATE DOMAIN public.price AS numeric(8,2);
);

sub _chance { return rand(100) < $_[0]; }
sub _one_of { return $_[int rand @_]; }
sub _between { my ($low, $high) = @_; return $low + int rand($high - $low + 1); }

sub _text
{
	my ($most) = @_;
	my $piece = _one_of('abc', 'x', 'äöü', '€uro ', 'tab	', "line\n", 'back\\slash', '"quoted"', '😀');
	return substr($piece x (1 + $most / length $piece), 0, _between(0, $most));
}

sub _json
{
	my ($depth) = @_;
	return _one_of('null', 'true', 'false', _between(-99999, 99999), rand(), '1.50', '1e30', '-0', '0.000',
		'"' . ('ü' x _between(0, 40)) . '"', '"a\\nb\\u0041\\\\"', '""')
	  if $depth > 3 || _chance(40);
	my $count = _chance(5) ? 70 : _between(0, 4);
	return '[' . join(_one_of(',', ', '), map { _json($depth + 1) } 1 .. $count) . ']' if _chance(50);
	return '{' . join(', ', map { '"' . ('k' x _between(0, 3)) . _between(0, 99) . '": ' . _json($depth + 1) } 1 .. $count) . '}';
}

sub _instant { return sprintf '%04d-%02d-%02d %02d:%02d:%02d.%06d', _between(1, 9999), _between(1, 12), _between(1, 28),
	_between(0, 23), _between(0, 59), _between(0, 59), _between(0, 999999); }

# Types of the source, with the target's possible types, a value, and values that one of those rejects.
my $large = 0;
my @types = (
	{ type => 'integer', targets => ['integer'], value => sub { _one_of(_between(-9, 9), -2147483648, 2147483647) } },
	{ type => 'integer', targets => ['public.small'], value => sub { _between(-2000, 999) }, bad => [1000] },
	{ type => 'bigint', targets => ['bigint'], value => sub { _one_of(_between(-9, 9), '-9223372036854775808') } },
	{ type => 'smallint', targets => ['smallint'], value => sub { _between(-32768, 32767) } },
	{ type => 'boolean', targets => ['boolean'], value => sub { _one_of('t', 'f') } },
	{ type => 'double precision', targets => ['double precision'], value => sub { _one_of(rand(), 'NaN', '-0', '-Infinity', 1e300) } },
	{ type => 'real', targets => ['real'], value => sub { _one_of(_between(-9, 9) / 8, 'NaN') } },
	{ type => 'numeric', targets => [ 'numeric', 'numeric(8,2)', 'public.price', 'numeric(20,10)' ],
		value => sub { _one_of(sprintf('%.' . _between(0, 9) . 'f', rand(200000) - 100000), 'NaN', '0', '0.00000', _between(-99, 99) . '00') },
		bad => [ '1e30', '-Infinity', '999999999999.5' ] },
	{ type => 'numeric', targets => ['numeric'], value => sub { _one_of('Infinity', '1e-70', '-1.5e200', '1e999', '0.' . ('0' x _between(1, 80)) . '7', '12345678' x _between(1, 40)) } },
	{ type => 'text', targets => [ 'text', 'varchar' ], value => sub { _text($large || 30) } },
	{ type => 'text', targets => ['varchar(20)'], value => sub { _text(20) . (_chance(10) ? ' ' x 20 : '') }, bad => [ 'ä' x 21 ] },
	{ type => 'varchar', targets => [ 'text', 'public.given' ], value => sub { _text(40) }, bad => [ 'forbidden', undef ], never_null => 1 },
	{ type => 'bpchar', targets => ['char(6)'], value => sub { substr _text(6), 0, 6 }, bad => ['sevense'] },
	{ type => 'bytea', targets => ['bytea'], value => sub { '\\x' . ('00ff' x _between(0, $large || 20)) } },
	{ type => 'date', targets => ['date'], value => sub { _one_of(substr(_instant(), 0, 10), 'infinity', '4713-01-01 BC', '5874897-12-31') } },
	{ type => 'timestamp', targets => [ 'timestamp', 'timestamp(0)', 'timestamp(3)' ], value => sub { _one_of(_instant(), '-infinity', '4713-01-01 BC', '294276-01-01') } },
	{ type => 'timestamptz', targets => [ 'timestamptz', 'timestamptz(1)' ], value => sub { _one_of(_instant() . '+05', 'infinity') } },
	{ type => 'time', targets => [ 'time', 'time(2)' ], value => sub { _one_of(substr(_instant(), 11), '24:00') } },
	{ type => 'interval', targets => [ 'interval', 'interval(0)', 'interval day to minute' ], value => sub { _between(-99, 99) . ' days ' . rand(9999) . ' seconds' } },
	{ type => 'uuid', targets => ['uuid'], value => sub { sprintf '%08x-0000-0000-0000-%012x', _between(0, 4e9), _between(0, 9) } },
	{ type => 'jsonb', targets => ['jsonb'], value => sub { _json(0) } },
	{ type => 'json', targets => ['json'], value => sub { _json(0) } },
	{ type => 'integer[]', targets => ['integer[]'], value => sub { '{' . join(',', map { _one_of($_, 'NULL') } 1 .. _between(0, 5)) . '}' } },
	{ type => 'varbit', targets => [ 'varbit', 'varbit(9)' ], value => sub { '10' x _between(0, 4) }, bad => [ '10' x 5 ] },
	{ type => 'inet', targets => ['inet'], value => sub { _one_of('::1', '10.1.2.3/8') } },
	{ type => 'public.mood', targets => ['public.mood'], value => sub { _one_of('sad', 'ok', 'happy') } },
	{ type => 'int4range', targets => ['int4range'], value => sub { _one_of('empty', '[1,5)', '(,3]') } },
);

# Generated columns: of a type, by one of these expressions.
my @generated = (
	[ 'integer', 'k + 41', 'u', '7' ],
	[ 'text', q(repeat('x', k)), 'md5(u::text)', q(repeat('y', u % 50 * 20)), 'NULL::text' ],
	[ 'bigint', 'rn * 2', 'k' ],
	[ 'boolean', 'k % 2 = 0', 'tableoid > 0::oid' ],
	[ 'numeric(10,2)', 'rn / 7.0', 'k' ],
	[ 'integer', '1000 / (u + 1)' ]);

# These columns, with others between them that are dropped later.
sub _layout
{
	my $number = 0;
	return map { _chance(12) ? ({ name => 'gone' . $number++, type => _one_of('integer', 'text', 'boolean', 'timestamp'), gone => 1 }, $_) : $_ } @_;
}

# A table's definition with that layout, and the statement that drops the columns.
sub _create
{
	my ($table, $layout, $definitions, $rest) = @_;
	my @gone = map { $_->{gone} ? "DROP $_->{name}" : () } @$layout;
	return ("CREATE TABLE $table (" . join(', ', @$definitions) . ")$rest;", @gone ? "ALTER TABLE $table " . join(', ', @gone) . ';' : ());
}

sub _definition
{
	my ($column, %more) = @_;
	my $text = "$column->{name} $column->{type}";
	if (my $expression = $more{generated} // $column->{generated}) { $text .= " GENERATED ALWAYS AS ($expression) " . ($column->{virtual} ? 'VIRTUAL' : 'STORED'); }
	elsif (defined(my $default = $more{default} // $column->{default})) { $text .= " DEFAULT $default"; }
	$text .= ' NOT NULL' if $column->{not_null} || $more{not_null};
	return $text;
}

# A constraint of this table only. Most rows satisfy it.
sub _check
{
	my ($table) = @_;
	return 'CHECK (' . _one_of('u <> -1', 'k IS DISTINCT FROM 99', "tableoid::regclass::text LIKE '%$table'", "$table IS DISTINCT FROM NULL",
		'rn > 0 AND coalesce(k, 1) >= 0') . ')';
}

sub _indexes
{
	my ($table, $unique) = @_;
	my @indexes = ('(k, rn)', '((u * 2)) WHERE k > 3', '(rn DESC)');
	my @sql = map { _chance(20) ? "CREATE INDEX ON $table $_;" : () } @indexes;
	push @sql, "CREATE UNIQUE INDEX ON $table (u);" if $unique;
	return @sql;
}

# The leaves of a target, as SQL. The layout of an attached leaf is the target's, or an unrelated one.
sub _leaves
{
	my ($case, $layout, $checks, $version) = @_;
	my @sql;
	my $leaves = _between(2, 5);
	my $keys   = 12;
	for my $i (0 .. $leaves - 1)
	{
		my $leaf   = "t$i";
		my $values = $case->{method} eq 'LIST' ? 'IN (' . join(', ', grep { $_ % $leaves == $i } 0 .. $keys) . ($i == 0 ? ', NULL' : '') . ')'
		  : $case->{method} eq 'HASH' ? "WITH (MODULUS $leaves, REMAINDER $i)"
		  : 'FROM (' . ($i == 0 ? 'MINVALUE' : $i * 3) . ') TO (' . ($i == $leaves - 1 ? $keys + 1 : $i * 3 + 3) . ')';
		my $sub = _chance(15) ? ' PARTITION BY HASH (u)' : '';
		if (_chance(35))
		{
			my @extra = (_chance(20) ? 'u NOT NULL' : (), _chance(25) && $sub eq '' ? _check($leaf) : ());
			push @sql, "CREATE TABLE $leaf PARTITION OF t" . (@extra ? ' (' . join(', ', @extra) . ')' : '') . " FOR VALUES $values$sub;";
		}
		else
		{
			my @own = _chance(50) ? @$layout : _layout(shuffle grep { !$_->{gone} } @$layout);
			my @definitions;
			foreach my $column (@own)
			{
				my %more;
				my @expressions = map { @$_[ 1 .. $#$_ ] } grep { $_->[0] eq $column->{type} } @generated;
				if ($column->{gone}) { }

				# From 16 on, a leaf may generate a column by an expression of its own.
				elsif ($column->{generated}) { $more{generated} = _one_of(@expressions) if $version >= 16; }
				# Up to 15, a leaf may generate what the target does not.
				elsif ($version < 16 && !$column->{key} && @expressions && _chance(35)) { $more{generated} = _one_of(@expressions); }
				elsif (_chance(10)) { $more{default} = 'NULL'; }
				$more{not_null} = 1 if $column->{name} eq 'u' && _chance(30);
				push @definitions, _definition($column, %more);
			}
			push @definitions, @$checks, _chance(25) && $sub eq '' ? _check($leaf) : ();
			push @sql, _create($leaf, \@own, \@definitions, $sub), "ALTER TABLE t ATTACH PARTITION $leaf FOR VALUES $values;";
		}
		my @parts = ($leaf);
		if ($sub ne '')
		{
			@parts = ("${leaf}a", "${leaf}b");
			push @sql, map { "CREATE TABLE $parts[$_] PARTITION OF $leaf FOR VALUES WITH (MODULUS 2, REMAINDER $_);" } 0, 1;
		}
		push @sql, map { _indexes($_, _chance(20)) } @parts;
		push @{ $case->{leaves} }, @parts;
	}
	if ($case->{method} ne 'HASH' && _chance(50))
	{
		push @sql, 'CREATE TABLE t_rest PARTITION OF t DEFAULT;';
		push @{ $case->{leaves} }, 't_rest';
	}
	return @sql;
}

# Rows for the columns of the source, one of which may be bad.
sub _rows
{
	my ($case, @columns) = @_;
	my $count = $large ? _one_of(1, 20, 200) : _one_of(0, 1, 40, 300, 300, 1500, 1500, 3000);
	my @rows;
	my $run = _one_of(1, 1, 7, 1100);    # as many rows with the same key
	my $key = 0;
	for my $i (1 .. $count)
	{
		$key = _one_of(0 .. 12, $case->{null_keys} ? undef : ()) if $i % $run == 0 || $i == 1;
		push @rows, [ map { $_->{name} eq 'rn' ? $i : $_->{name} eq 'u' ? ($i * 7919) % 100003 : $_->{key} ? $key
			  : !$_->{never_null} && !$_->{not_null} && _chance(10) ? undef : $_->{value}->() } @columns ];
	}
	if ($count > 0 && _chance(40))
	{
		my $row = _one_of(@rows);
		my @candidates;
		for my $i (0 .. $#columns)
		{
			my $name = $columns[$i]{name};
			my @bad = $name eq 'rn' ? () : $name eq 'u' ? (-1, $rows[0][$i], undef) : $name eq 'k' ? (99, 99, undef) : @{ $columns[$i]{bad} || [] };
			push @bad, undef if $columns[$i]{not_null};
			push @candidates, map { [ $i, $_ ] } @bad;
		}
		my ($i, $value) = @{ _one_of(@candidates) };
		$row->[$i] = $value;
		$case->{bad} = "$columns[$i]{name} = " . ($value // 'NULL');
	}
	return @rows;
}

sub _copy_line
{
	return join("\t", map {
		my $text = $_;
		$text = '\\N' unless defined;
		if (defined) { $text =~ s/\\/\\\\/g; $text =~ s/\t/\\t/g; $text =~ s/\n/\\n/g; }
		$text;
	} @{ $_[0] }) . "\n";
}

# A case: source (SQL that makes and fills public.t there), target (SQL that makes t in the current schema), columns (of
# the stream, in order), plain (whether the fast path is to be taken), and what describes it.
sub random_case
{
	my ($seed, $number, $version) = @_;
	srand(hex substr md5_hex("$seed $number"), 0, 8);
	my %case = (plain => 1, leaves => [], method => _one_of('', 'LIST', 'LIST', 'RANGE', 'HASH'));
	$large = _chance(15) ? _one_of(2000, 2000, 40000, 150000) : 0;

	my @streamed = (
		{ name => 'rn', type => 'bigint',  source => 'bigint', never_null => 1, key => 1 },
		{ name => 'k',  type => 'integer', source => 'integer', key => 1 },
		{ name => 'u',  type => 'integer', source => 'integer', never_null => 1, key => 1 });
	for my $i (1 .. _between(0, 7))
	{
		my $type = _one_of(@types);
		push @streamed, { %$type, name => "c$i", source => $type->{type}, type => _one_of(@{ $type->{targets} }), not_null => _chance(15) };
	}
	$case{null_keys} = $case{method} ne 'RANGE';
	@streamed = shuffle @streamed if _chance(50);
	$case{columns} = [ map { $_->{name} } @streamed ];
	my $left_out = _chance(15) ? ', left_out text' : '';

	my @own;
	for my $i (1 .. _between(0, 3))
	{
		my $generated = _one_of(@generated);
		my $kind      = _between(1, 100);
		push @own, { name => "o$i", type => $generated->[0] };
		if ($kind <= 40)
		{
			$own[-1]{generated} = _one_of(@$generated[ 1 .. $#$generated ]);
			$own[-1]{virtual} = $version >= 18 && _chance(40);
		}
		elsif ($kind <= 48)
		{
			# PostgreSQL keeps no default that is a mere NULL; NULL cast to a type modifier is kept.
			$own[-1]{default} = 'NULL';
			$case{plain} = 0 if $generated->[0] =~ /\(/;
		}
		elsif ($kind <= 54)
		{
			@{ $own[-1] }{qw(type default)} = ('integer', 5);
			$case{plain} = 0;
		}
	}
	my @columns = (@streamed, @own);
	@columns = shuffle @columns if _chance(50);
	my @checks = map { _chance(20) ? $_ : () } 'CONSTRAINT c_u CHECK (u <> -1)', 'CONSTRAINT c_k CHECK (k <> 99)', 'CONSTRAINT c_rn CHECK (rn > 0)';
	my @own_checks = $case{method} eq '' && _chance(30) ? (_check('t')) : ();
	my @layout     = _layout(@columns);
	my @definitions = ((map { _definition($_) } @layout), @checks, @own_checks);
	my @sql = _create('t', \@layout, \@definitions, $case{method} ne '' ? " PARTITION BY $case{method} (k)" : '');
	# A column with a value for rows that were there before it, which new rows do not have.
	if (_chance(20))
	{
		push @layout, { name => 'late', type => 'integer' };
		push @sql, 'ALTER TABLE t ADD late integer DEFAULT 5; ALTER TABLE t ALTER late DROP DEFAULT;';
	}
	push @sql, $case{method} ne '' ? _leaves(\%case, \@layout, \@checks, $version) : _indexes('t', _chance(30));
	if (_chance(12))
	{
		my $table = _one_of('t', @{ $case{leaves} });
		push @sql, _one_of(
			"CREATE TRIGGER seen BEFORE INSERT ON $table FOR EACH ROW EXECUTE FUNCTION public.see();",
			"CREATE TRIGGER seen AFTER INSERT ON $table FOR EACH ROW EXECUTE FUNCTION public.see();",
			'CREATE TRIGGER seen AFTER INSERT ON t REFERENCING NEW TABLE AS stored FOR EACH STATEMENT EXECUTE FUNCTION public.see_all();',
			"ALTER TABLE $table ADD UNIQUE (rn, k, u) DEFERRABLE;",
			"CREATE TABLE keys (k integer PRIMARY KEY); INSERT INTO keys SELECT generate_series(0, 12); ALTER TABLE $table ADD FOREIGN KEY (k) REFERENCES keys;");
		$case{plain} = 0;
	}
	elsif (_chance(10))
	{
		push @sql, 'ALTER TABLE ' . _one_of($case{method} eq '' ? 't' : @{ $case{leaves} }) . ' ADD EXCLUDE USING btree (u WITH =);';
	}
	$case{target} = join "\n", @sql;

	my @rows = _rows(\%case, @streamed);
	$case{rows}   = scalar @rows;
	$case{source} = 'CREATE TABLE t (' . join(', ', map { "$_->{name} $_->{source}" } @streamed) . "$left_out);\n";
	$case{data}   = join '', map { _copy_line($_) } @rows;
	$case{name}   = "seed $seed case $number: " . ($case{method} eq '' ? 'no partitions' : "$case{method}, " . @{ $case{leaves} } . ' leaves')
	  . ", $case{rows} rows" . ($case{bad} ? ' of which one is bad (' . substr($case{bad} =~ s/\n/ /gr, 0, 30) . ')' : '');
	return \%case;
}

1;
