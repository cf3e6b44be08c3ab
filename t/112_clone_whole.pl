# fastcopy.clone with definitions => 'create': whole databases into empty ones. A rental shop with nearly every kind of
# object that pg_dump knows, and a warehouse. The text of pg_dump -s is the same on both sides, and so are all rows, the
# state of each sequence, and what is valid.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use FastcopyDump;
use FastcopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($source, $target) = start_pair();
my $version = major_version($source);
on_both(q(
	CREATE ROLE shop_owner;
	CREATE ROLE clerk;
	CREATE ROLE "Auditor, ""the"" one";
	CREATE ROLE mapped LOGIN));

sub make_databases
{
	my ($name) = @_;
	on_both("CREATE DATABASE $name TEMPLATE template0");
	$target->safe_psql($name, 'CREATE EXTENSION pg_fastcopy');
	return;
}

# Clones the database of this name; returns the job.
sub clone
{
	my ($name, %arguments) = @_;
	my %all = (source => q(') . conninfo($source, dbname => $name) . q('), definitions => q('create'), workers => 3, %arguments);
	return 'fastcopy.clone(' . join(', ', map { "$_ => $all{$_}" } sort keys %all) . ')';
}

# The names of relations of these kinds that are not the extension's, and can be read.
sub relations_of
{
	my ($node, $name, $kinds) = @_;
	return split /\x01/, $node->safe_psql($name, qq(
		SELECT string_agg(c.oid::regclass::text, E'\\x01' ORDER BY nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ($kinds) AND c.relispopulated AND n.nspname !~ '^(pg_|information_schema\$|fastcopy\$)'));
}

sub differing_rows
{
	my ($name) = @_;
	my ($theirs, $ours) = map { [ relations_of($_, $name, q('r', 'p', 'm')) ] } $source, $target;
	return "tables: @$theirs; here: @$ours" if "@$theirs" ne "@$ours";
	return join ' ', grep { table_digest($source, $_, $name) ne table_digest($target, $_, $name) } @$theirs;
}

# The state of each sequence.
sub sequences_of
{
	my ($node, $name) = @_;
	return join "\n", map { "$_: " . $node->safe_psql($name, "SELECT last_value, is_called FROM $_") } relations_of($node, $name, q('S'));
}

# What pg_dump does not show: that constraints and indexes are valid, and materialized views populated.
sub states_of
{
	my ($node, $name) = @_;
	return $node->safe_psql($name, q(
		SELECT string_agg(s, E'\n' ORDER BY s) FROM (
			SELECT concat_ws(' ', conrelid::regclass, conname, contype, convalidated, conislocal, coninhcount,
				(SELECT p.conrelid::regclass || ' ' || p.conname FROM pg_constraint p WHERE p.oid = c.conparentid)) s FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace
			WHERE nspname !~ '^(pg_|information_schema$|fastcopy$)'
			UNION ALL SELECT concat_ws(' ', indexrelid::regclass, indisvalid, indisready, indislive, indisclustered, indisreplident)
			FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname !~ '^(pg_|fastcopy$)'
			UNION ALL SELECT concat_ws(' ', oid::regclass, relispopulated) FROM pg_class WHERE relkind = 'm'
			UNION ALL SELECT concat_ws(' ', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
			JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT tgisinternal AND nspname <> 'fastcopy'
			UNION ALL SELECT concat_ws(' ', evtname, evtenabled) FROM pg_event_trigger) t));
}

sub large_objects_of
{
	my ($node, $name) = @_;
	return $node->safe_psql($name, q(SELECT string_agg(concat_ws(' ', oid, md5(lo_get(oid)), lomowner::regrole, lomacl::text, obj_description(oid, 'pg_largeobject')), ', ' ORDER BY oid) FROM pg_largeobject_metadata));
}

# Asserts that a database is what its source is, but for the extension, which is dropped last.
sub same_database
{
	my ($name, $what) = @_;
	is(differing_rows($name), '', "$what: all rows are the same");
	is(sequences_of($target, $name), sequences_of($source, $name), '... each sequence');
	is(large_objects_of($target, $name), large_objects_of($source, $name), '... each large object');
	is(states_of($target, $name), states_of($source, $name), '... what is valid, enabled and populated');
	$target->safe_psql($name, 'DROP EXTENSION pg_fastcopy CASCADE');
	is(differing_definitions(conninfo($source, dbname => $name), conninfo($target, dbname => $name), '--no-subscriptions'), '', '... and the text of pg_dump');
	return;
}

# The shop. What is unusual: names that need quotes, hold line ends or imitate pg_dump's comments; bodies that do so too;
# tables that refer to each other in a circle; keys and checks that do not hold; rows that their trigger would change.
my ($longest, $longest_key) = ('n' x 60 . 'ßx', 'k' x 61 . 'ß');
make_databases('shop');
# Before version 15, pg_dump does not write who owns this schema.
my $own_public = $version >= 15 ? 'ALTER SCHEMA public OWNER TO shop_owner' : '';
$source->safe_psql('shop', <<"END");
SET client_min_messages = warning;
$own_public;
CREATE SCHEMA audit;
CREATE SCHEMA "Odd ""one"" 'of' \\ all" AUTHORIZATION shop_owner;
COMMENT ON SCHEMA audit IS 'who did what';
CREATE TYPE mpaa_rating AS ENUM ('G', 'PG', 'PG-13', 'R', 'NC-17', 'it''s "odd"');
CREATE TYPE money_and_date AS (amount numeric(10,2), at date);
CREATE TYPE year_range AS RANGE (subtype = integer);
CREATE DOMAIN dates AS money_and_date[] CHECK (VALUE IS NOT NULL);
CREATE DOMAIN year AS integer CONSTRAINT year_check CHECK (VALUE >= 1901 AND VALUE <= 2155);
CREATE DOMAIN email AS text NOT NULL DEFAULT 'nobody' CHECK (VALUE ~ '^.+\@.+\$' OR VALUE = 'nobody');
COMMENT ON DOMAIN email IS E'a\\nb';
CREATE COLLATION german (provider = libc, locale = 'C');
CREATE TEXT SEARCH CONFIGURATION shop_search (COPY = simple);
CREATE FUNCTION last_updated() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	NEW.last_update = now();
	RETURN NEW;
END \$\$;
CREATE FUNCTION _group_concat(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS \$_\$
SELECT CASE WHEN \$2 IS NULL THEN \$1 WHEN \$1 IS NULL THEN \$2 ELSE \$1 || ', ' || \$2 END
\$_\$;
CREATE AGGREGATE group_concat(text) (SFUNC = _group_concat, STYPE = text);
CREATE FUNCTION imitation() RETURNS text LANGUAGE sql AS '
--
-- TOC entry 1 (class 1259 OID 1)
-- Name: imitation; Type: TABLE; Schema: public; Owner: clerk
--

SELECT ''\$\$; DROP TABLE film;''::text; -- "
';
CREATE FUNCTION imitation(a integer DEFAULT 1, VARIADIC b text[] DEFAULT '{}') RETURNS SETOF money_and_date LANGUAGE plpgsql AS \$a\$
BEGIN
/* ' /* nested */ " */
RETURN QUERY SELECT 1.0, current_date; -- \$\$ '
END \$a\$;
CREATE PROCEDURE do_nothing(INOUT x integer) LANGUAGE plpgsql AS 'BEGIN x := x; END';
CREATE FUNCTION add_one(x integer) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE BEGIN ATOMIC SELECT x + 1; END;
CREATE OPERATOR |+| (LEFTARG = text, RIGHTARG = text, FUNCTION = _group_concat);
CREATE CAST (integer AS mpaa_rating) WITH INOUT;
CREATE SEQUENCE odd_numbers AS smallint INCREMENT -2 MINVALUE -9999 MAXVALUE -1 START -1 CACHE 3 CYCLE;
CREATE SEQUENCE never_used START 77;
CREATE SEQUENCE invoice_number;
CREATE TABLE language (language_id integer GENERATED ALWAYS AS IDENTITY (START 10 INCREMENT 5) PRIMARY KEY, name character(20) NOT NULL, last_update timestamptz DEFAULT now() NOT NULL);
CREATE TABLE actor (actor_id serial PRIMARY KEY, first_name text NOT NULL COLLATE german, last_name text COLLATE "C" NOT NULL, last_update timestamptz DEFAULT now() NOT NULL);
CREATE TABLE film (
	film_id bigserial, title text NOT NULL, description text, release_year year, language_id integer NOT NULL, length smallint, rating mpaa_rating DEFAULT 'G',
	special_features text[], fulltext tsvector NOT NULL, price numeric(5,2) DEFAULT 4.99 NOT NULL, gross numeric GENERATED ALWAYS AS (price * 1.19) STORED,
	shown year_range, "column of ""film"", too" text DEFAULT E'\\\\ '' "',
	CONSTRAINT film_pkey PRIMARY KEY (film_id), CONSTRAINT "film's length" CHECK (length > 0), EXCLUDE USING gist (shown WITH &&) WHERE (film_id < 0));
CREATE TABLE film_actor (actor_id integer REFERENCES actor ON UPDATE CASCADE ON DELETE RESTRICT, film_id bigint REFERENCES film ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, PRIMARY KEY (actor_id, film_id));
CREATE TABLE store (store_id integer PRIMARY KEY, manager_id integer NOT NULL, UNIQUE (manager_id) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE staff (staff_id integer PRIMARY KEY, store_id integer NOT NULL, email email, picture bytea, boss integer REFERENCES staff);
CREATE TABLE customer (customer_id integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, store_id integer NOT NULL REFERENCES store, email email, active boolean DEFAULT true, address jsonb, history money_and_date[]);
CREATE TABLE rental (rental_id bigint PRIMARY KEY, customer_id integer NOT NULL REFERENCES customer, film_id bigint NOT NULL REFERENCES film, rented tstzrange, UNIQUE (film_id, customer_id, rental_id));
CREATE TABLE payment (payment_id bigint NOT NULL, customer_id integer NOT NULL, rental_id bigint, amount numeric(5,2) NOT NULL, payment_date timestamptz NOT NULL) PARTITION BY RANGE (payment_date);
CREATE TABLE payment_2024_01 PARTITION OF payment FOR VALUES FROM ('2024-01-01 00:00+00') TO ('2024-02-01 00:00+00');
CREATE TABLE payment_2024_02 (amount numeric(5,2) NOT NULL, payment_date timestamptz NOT NULL, gone text, payment_id bigint NOT NULL, rental_id bigint, customer_id integer NOT NULL);
ALTER TABLE payment_2024_02 DROP COLUMN gone;
ALTER TABLE payment ATTACH PARTITION payment_2024_02 FOR VALUES FROM ('2024-02-01 00:00+00') TO ('2024-03-01 00:00+00');
CREATE TABLE payment_rest PARTITION OF payment DEFAULT PARTITION BY HASH (payment_id);
CREATE TABLE payment_rest_0 PARTITION OF payment_rest FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE payment_rest_1 PARTITION OF payment_rest FOR VALUES WITH (MODULUS 2, REMAINDER 1) WITH (fillfactor = 70);
CREATE TABLE audit.log (id bigint GENERATED ALWAYS AS IDENTITY, what text, who name DEFAULT current_user);
CREATE TABLE audit.ddl (tag text);
CREATE UNLOGGED TABLE audit.fleeting (a integer);
CREATE TABLE "Odd ""one"" 'of' \\ all"."T.a\$b; -- Name: x; Type: TABLE; Schema: y; Owner: z
" ("c
d" text PRIMARY KEY);
COMMENT ON TABLE "Odd ""one"" 'of' \\ all"."T.a\$b; -- Name: x; Type: TABLE; Schema: y; Owner: z
" IS '--
-- Name: imitation; Type: TABLE; Schema: public; Owner: clerk
--
';
CREATE TABLE "$longest" ("$longest" integer CONSTRAINT "$longest_key" PRIMARY KEY);
CREATE TABLE "and its ""other""" ("$longest" integer CONSTRAINT "$longest" REFERENCES "$longest");
CREATE TABLE refund (payment_date timestamptz, payment_id bigint, at date DEFAULT '2024-02-03' CHECK (at > '2020-12-11'), span interval DEFAULT '-1 day +02:03', parent bigint) PARTITION BY HASH (payment_id);
CREATE TABLE refund_0 PARTITION OF refund FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE reminder (payment_date timestamptz, payment_id bigint, histories dates);
CREATE TABLE place (name text, at point);
CREATE TABLE owned (owner text);
CREATE TABLE city (population integer CHECK (population > 0) NO INHERIT, name text DEFAULT 'a city' NOT NULL) INHERITS (place);
CREATE TABLE capital (state text UNIQUE, CHECK (state <> name)) INHERITS (city, owned);
CREATE TABLE loose (a integer, b integer, c integer);
CREATE TABLE no_columns ();
CREATE TABLE of_a_type OF money_and_date (PRIMARY KEY (at));
CREATE TABLE new_numbers (n integer DEFAULT nextval('invoice_number'), s integer DEFAULT add_one(1));
ALTER SEQUENCE invoice_number OWNED BY new_numbers.n;
CREATE FOREIGN DATA WRAPPER nothing OPTIONS (a 'b');
CREATE SERVER elsewhere TYPE 'x' VERSION 'y' FOREIGN DATA WRAPPER nothing OPTIONS (host 'h''h');
CREATE USER MAPPING FOR mapped SERVER elsewhere OPTIONS (user 'u', password 'p;');
CREATE FOREIGN TABLE remote (a integer OPTIONS (x 'y')) SERVER elsewhere;

INSERT INTO language (name) SELECT 'language ' || g FROM generate_series(1, 6) g;
INSERT INTO actor (first_name, last_name) SELECT 'first ' || g, 'last ' || g % 50 FROM generate_series(1, 200) g;
INSERT INTO film (title, description, release_year, language_id, length, rating, special_features, fulltext, shown)
	SELECT 'Film ' || g, repeat('A story of ' || g || '. ', 20), 1950 + g % 70, 10 + 5 * (g % 6), 60 + g % 120, (enum_range(NULL::mpaa_rating))[1 + g % 6],
		ARRAY['Trailers', NULL, 'Scene ' || g], to_tsvector('simple', 'Film ' || g), int4range(g, g + 5)::text::year_range
	FROM generate_series(1, 1000) g;
INSERT INTO film_actor SELECT 1 + g % 200, 1 + g / 5 FROM generate_series(0, 4999) g ON CONFLICT DO NOTHING;
INSERT INTO store VALUES (1, 1), (2, 2);
INSERT INTO staff VALUES (1, 1, 'a\@b', '\\x00ff27', NULL), (2, 2, 'c\@d', NULL, 1);
INSERT INTO customer (store_id, email, active, address, history)
	SELECT 1 + g % 2, 'c' || g || '\@example', nullif(g % 3, 0) = 1, jsonb_build_object('street', g), ARRAY[(g, date '2024-01-01' + g), NULL]::money_and_date[] FROM generate_series(1, 600) g;
INSERT INTO rental SELECT g, 1 + g % 600, 1 + g % 1000, tstzrange(timestamptz '2024-01-01 00:00+00' + g * interval '9 minutes', NULL) FROM generate_series(1, 16000) g;
INSERT INTO payment SELECT g, 1 + g % 600, g, g % 1000 / 100.0, timestamptz '2024-01-01 00:00+00' + g * interval '9 minutes' FROM generate_series(1, 16000) g;
INSERT INTO refund (payment_date, payment_id, parent) SELECT payment_date, payment_id, NULL FROM payment WHERE payment_id % 100 = 0;
INSERT INTO reminder SELECT payment_date, payment_id, ARRAY[(payment_id % 99, date '2024-05-06')]::money_and_date[] FROM payment WHERE payment_id % 50 = 0;
INSERT INTO place VALUES ('place', '(1,2)');
INSERT INTO city SELECT 'city ' || g, NULL, g FROM generate_series(1, 20) g;
INSERT INTO capital SELECT 'capital ' || g, '(0,0)', g, 'owner', 'state ' || g FROM generate_series(1, 10) g;
INSERT INTO audit.log (what) VALUES ('first');
INSERT INTO audit.fleeting VALUES (1);
INSERT INTO "Odd ""one"" 'of' \\ all"."T.a\$b; -- Name: x; Type: TABLE; Schema: y; Owner: z
" VALUES (E'\\\\. \\n\\t');
INSERT INTO "$longest" SELECT generate_series(1, 10);
INSERT INTO "and its ""other""" SELECT generate_series(1, 10);
INSERT INTO loose VALUES (1, -1, 99);
INSERT INTO no_columns SELECT FROM generate_series(1, 3);
INSERT INTO of_a_type VALUES (1, '2024-01-01');
INSERT INTO new_numbers DEFAULT VALUES;
SELECT nextval('odd_numbers') FROM generate_series(1, 5);
SELECT setval('invoice_number', 1000, false);

SELECT lo_from_bytea(4711, decode(repeat('00ff', 5000), 'hex'));
SELECT lo_from_bytea(4712, '');
SELECT lo_from_bytea(4713, decode(repeat('0123456789abcdef', 40000), 'hex'));
ALTER LARGE OBJECT 4713 OWNER TO shop_owner;
COMMENT ON LARGE OBJECT 4711 IS 'a picture';
GRANT SELECT ON LARGE OBJECT 4711 TO clerk;

ALTER TABLE store ADD FOREIGN KEY (manager_id) REFERENCES staff DEFERRABLE;
ALTER TABLE staff ADD FOREIGN KEY (store_id) REFERENCES store;
ALTER TABLE film ADD CONSTRAINT film_language_id_fkey FOREIGN KEY (language_id) REFERENCES language ON UPDATE CASCADE;
ALTER TABLE payment ADD PRIMARY KEY (payment_date, payment_id);
ALTER TABLE payment ADD FOREIGN KEY (customer_id) REFERENCES customer;
ALTER TABLE payment_2024_01 ADD FOREIGN KEY (rental_id) REFERENCES rental;
-- Keys of partitions: of another name than their parent's, of a part of the tree, and without a leaf.
CREATE TABLE visit (customer_id integer, store_id integer, at date, film_id bigint) PARTITION BY LIST (store_id);
CREATE TABLE visit_1 PARTITION OF visit FOR VALUES IN (1) PARTITION BY RANGE (at);
CREATE TABLE "visit 1, 2024" (at date, film_id bigint, customer_id integer CONSTRAINT "own ""name""" REFERENCES customer ON DELETE SET NULL DEFERRABLE, store_id integer);
ALTER TABLE visit_1 ATTACH PARTITION "visit 1, 2024" FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE visit_1_later PARTITION OF visit_1 DEFAULT;
CREATE TABLE visit_2 PARTITION OF visit FOR VALUES IN (2);
CREATE TABLE visit_3 PARTITION OF visit FOR VALUES IN (3) PARTITION BY RANGE (at);
INSERT INTO visit SELECT customer_id, 1 + customer_id % 2, date '2024-07-01' + customer_id, NULL FROM customer LIMIT 200;
ALTER TABLE visit ADD FOREIGN KEY (customer_id) REFERENCES customer ON DELETE SET NULL DEFERRABLE;
ALTER TABLE visit_1 ADD CONSTRAINT of_films FOREIGN KEY (film_id) REFERENCES film MATCH FULL;
ALTER TABLE visit_3 ADD FOREIGN KEY (film_id) REFERENCES film;
ALTER TABLE refund ADD FOREIGN KEY (payment_date, payment_id) REFERENCES payment, ADD PRIMARY KEY (payment_id);
ALTER TABLE refund ADD FOREIGN KEY (parent) REFERENCES refund;
ALTER TABLE reminder ADD FOREIGN KEY (payment_date, payment_id) REFERENCES payment;
ALTER TABLE capital ADD FOREIGN KEY (population) REFERENCES actor;
ALTER TABLE loose ADD CONSTRAINT "does not hold" CHECK (b > 0) NOT VALID;
ALTER TABLE loose ADD CONSTRAINT "nor this" FOREIGN KEY (c) REFERENCES rental NOT VALID;
ALTER TABLE loose ADD CONSTRAINT holds CHECK (a > 0) NO INHERIT;
ALTER TABLE audit.log ADD CONSTRAINT log_key UNIQUE (id) INCLUDE (what);
CREATE INDEX film_fulltext_idx ON film USING gin (fulltext);
CREATE INDEX film_lower ON film (lower(title) text_pattern_ops DESC NULLS LAST) INCLUDE (length) WITH (fillfactor = 80) WHERE rating <> 'R';
CREATE INDEX film_hash ON film USING hash (title);
CREATE INDEX film_brin ON film USING brin (film_id);
CREATE INDEX film_expression ON film ((add_one(length::integer)), (special_features[1]));
ALTER INDEX film_expression ALTER COLUMN 1 SET STATISTICS 300;
CREATE UNIQUE INDEX "customer ""store""" ON customer (store_id, customer_id);
CREATE INDEX rental_rented ON rental USING gist (rented);
CREATE INDEX payment_customer ON payment (customer_id);
CREATE INDEX payment_only_rental ON ONLY payment (rental_id);
CREATE INDEX payment_01_amount ON payment_2024_01 (amount);
COMMENT ON INDEX film_lower IS 'lower; case';
COMMENT ON CONSTRAINT "film's length" ON film IS 'positive';
COMMENT ON COLUMN film."column of ""film"", too" IS 'odd';
CREATE STATISTICS film_statistics (dependencies, mcv) ON release_year, length FROM film;
CREATE STATISTICS audit."of an expression" ON (lower(title)), rating FROM film;
ALTER STATISTICS film_statistics SET STATISTICS 50;
ALTER TABLE film ALTER description SET STORAGE EXTERNAL, ALTER title SET STATISTICS 500, ALTER title SET (n_distinct = -1), ALTER description SET COMPRESSION pglz, SET (autovacuum_enabled = false, toast.autovacuum_enabled = false);
ALTER TABLE actor CLUSTER ON actor_pkey;
ALTER TABLE customer REPLICA IDENTITY USING INDEX "customer ""store""";
ALTER TABLE rental REPLICA IDENTITY FULL;
CREATE VIEW film_list WITH (security_barrier) AS SELECT f.film_id, f.title, group_concat(a.last_name) AS actors FROM film f JOIN film_actor USING (film_id) JOIN actor a USING (actor_id) GROUP BY f.film_id;
CREATE VIEW customers AS SELECT customer_id, email FROM customer WHERE active WITH LOCAL CHECK OPTION;
ALTER VIEW customers ALTER email SET DEFAULT 'x\@y';
CREATE RECURSIVE VIEW bosses (staff_id, depth) AS SELECT staff_id, 0 FROM staff WHERE boss IS NULL UNION ALL SELECT s.staff_id, depth + 1 FROM staff s JOIN bosses b ON s.boss = b.staff_id;
CREATE MATERIALIZED VIEW rental_by_film AS SELECT film_id, count(*) AS rentals FROM rental GROUP BY film_id;
CREATE UNIQUE INDEX ON rental_by_film (film_id);
-- It needs the primary key, and so pg_dump has it after the data.
CREATE MATERIALIZED VIEW rental_by_key AS SELECT f.film_id, f.title, count(*) AS rentals FROM film f JOIN rental r USING (film_id) GROUP BY f.film_id;
CREATE UNIQUE INDEX ON rental_by_key (film_id);
CREATE MATERIALIZED VIEW "a first one" AS SELECT f.title, r.rentals FROM rental_by_film r JOIN film_list f USING (film_id);
CREATE MATERIALIZED VIEW not_yet AS SELECT 1 AS x WITH NO DATA;
CREATE FUNCTION rewards(lowest integer) RETURNS SETOF customer LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS \$_\$
BEGIN RETURN QUERY SELECT * FROM customer WHERE customer_id > lowest; END \$_\$;
CREATE FUNCTION of_rows(film) RETURNS text LANGUAGE sql STABLE AS 'SELECT \$1.title';
CREATE RULE to_the_log AS ON UPDATE TO loose DO ALSO INSERT INTO audit.log (what) VALUES ('it''s; updated');
CREATE RULE elsewhere AS ON INSERT TO place DO INSTEAD INSERT INTO audit.log (what) VALUES (NEW.name);
CREATE RULE "views are written" AS ON INSERT TO film_list DO INSTEAD NOTHING;
CREATE FUNCTION audit.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO audit.log (what) VALUES (TG_TABLE_NAME); RETURN NEW; END';
CREATE TRIGGER last_updated BEFORE INSERT OR UPDATE ON actor FOR EACH ROW EXECUTE FUNCTION last_updated();
CREATE TRIGGER film_fulltext BEFORE INSERT OR UPDATE ON film FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger('fulltext', 'pg_catalog.english', 'title', 'description');
CREATE TRIGGER noted AFTER INSERT ON customer FOR EACH ROW WHEN (NEW.active) EXECUTE FUNCTION audit.note();
CREATE TRIGGER "noted ""too""" AFTER INSERT ON payment FOR EACH ROW EXECUTE FUNCTION audit.note();
CREATE CONSTRAINT TRIGGER noted_later AFTER INSERT ON rental DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit.note();
CREATE TRIGGER once AFTER TRUNCATE ON customer FOR EACH STATEMENT EXECUTE FUNCTION audit.note();
CREATE TRIGGER of_both AFTER UPDATE ON actor REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION audit.note();
CREATE TRIGGER instead INSTEAD OF INSERT ON customers FOR EACH ROW EXECUTE FUNCTION audit.note();
ALTER TABLE customer ENABLE ALWAYS TRIGGER noted;
ALTER TABLE rental DISABLE TRIGGER noted_later;
COMMENT ON TRIGGER noted ON customer IS 'noted';
ALTER TABLE customer ENABLE ROW LEVEL SECURITY;
ALTER TABLE staff ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY "own ""rows""" ON customer AS RESTRICTIVE FOR SELECT TO clerk, "Auditor, ""the"" one" USING (email = current_user);
CREATE POLICY all_of_them ON staff USING (true) WITH CHECK (store_id IN (SELECT store_id FROM store));
CREATE PUBLICATION of_films FOR TABLE film, rental WITH (publish = 'insert, update');
CREATE PUBLICATION everything FOR ALL TABLES WITH (publish_via_partition_root);
CREATE SUBSCRIPTION asleep CONNECTION 'host=h dbname=''d''' PUBLICATION p WITH (connect = false, slot_name = NONE);
ALTER TABLE film OWNER TO shop_owner;
ALTER TABLE payment OWNER TO shop_owner;
ALTER FUNCTION last_updated() OWNER TO shop_owner;
ALTER TYPE mpaa_rating OWNER TO clerk;
ALTER MATERIALIZED VIEW rental_by_film OWNER TO clerk;
GRANT SELECT ON rental TO clerk;
GRANT SELECT, UPDATE (title, length) ON film TO clerk WITH GRANT OPTION;
GRANT SELECT ON film TO "Auditor, ""the"" one";
GRANT USAGE ON SCHEMA audit TO PUBLIC;
GRANT USAGE ON SEQUENCE never_used TO clerk;
GRANT USAGE ON TYPE year TO clerk;
GRANT USAGE ON FOREIGN SERVER elsewhere TO mapped;
REVOKE ALL ON FUNCTION rewards(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rewards(integer) TO clerk;
REVOKE ALL ON TABLE loose FROM shop_owner;
REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA audit GRANT SELECT ON TABLES TO clerk;
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
CREATE FUNCTION audit.of_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO audit.ddl VALUES (tg_tag); END';
CREATE EVENT TRIGGER of_ddl ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'ALTER TABLE', 'CREATE INDEX', 'CREATE TRIGGER') EXECUTE FUNCTION audit.of_ddl();
COMMENT ON EVENT TRIGGER of_ddl IS 'notes';
REFRESH MATERIALIZED VIEW rental_by_film;
REFRESH MATERIALIZED VIEW rental_by_key;
REFRESH MATERIALIZED VIEW "a first one";
ANALYZE;
END
$source->safe_psql('shop', q(
	CREATE TABLE distinct_nulls (a integer UNIQUE NULLS NOT DISTINCT, b text);
	CREATE PUBLICATION of_parts FOR TABLE distinct_nulls (a) WHERE (a > 1);
	CREATE PUBLICATION of_a_schema FOR TABLES IN SCHEMA audit;
	ALTER VIEW customers SET (security_invoker = true);
	TRUNCATE audit.ddl)) if $version >= 15;

# Extensions bring types and operator classes.
my $extensions = $source->safe_psql('shop', q(SELECT count(*) FROM pg_available_extensions WHERE name IN ('hstore', 'pg_trgm'))) == 2;
$source->safe_psql('shop', q(
	CREATE SCHEMA extensions;
	CREATE EXTENSION pg_trgm SCHEMA extensions;
	CREATE EXTENSION hstore SCHEMA extensions;
	CREATE TABLE attributes (id integer PRIMARY KEY, of_film extensions.hstore);
	INSERT INTO attributes SELECT g, extensions.hstore('k', g::text) FROM generate_series(1, 100) g;
	CREATE INDEX ON attributes USING gist (of_film);
	CREATE INDEX ON film USING gin (title extensions.gin_trgm_ops);
	TRUNCATE audit.ddl)) if $extensions;

# Definitions mean the same under any settings of the caller.
my $job = $target->safe_psql('shop', q(SET DateStyle = 'SQL, DMY'; SET IntervalStyle = sql_standard; SET TimeZone = 'Asia/Kolkata'; SET standard_conforming_strings = off;
	SET search_path = nowhere; SET quote_all_identifiers = on; SET default_transaction_isolation = serializable; SET fastcopy.chunk_size = '64kB'; SELECT ) . clone('shop'));
is($target->safe_psql('shop', "SELECT fastcopy.wait($job)"), 'done', 'a shop is cloned into an empty database');
my $tables = $target->safe_psql('shop', "SELECT string_agg(replace(target_table, '\"', ''), ', ' ORDER BY number) FROM fastcopy.tables WHERE job = $job");
like($tables, qr/^(?!.*payment_2024)(?!.*remote).*public\.film, .*public\.payment, /s, '... of which a partition goes with its table, and a foreign table has no rows');
cmp_ok($target->safe_psql('shop', q(SELECT count(*) FROM pg_class WHERE relname IN ('film', 'rental', 'payment_2024_01') AND reltuples > 0)), '==', 3, '... and tables are analyzed');
my $kinds = "SELECT string_agg(replace(name, 'public.', ''), ', ' ORDER BY number) FROM fastcopy.definitions WHERE job = $job AND name ~ 'visit' AND kind";
is($target->safe_psql('shop', "$kinds = 'FK CONSTRAINT'"),
	'"visit 1, 2024" of_films, visit_1_later of_films, visit_1 of_films, visit_3 visit_3_film_id_fkey, '
	. '"visit 1, 2024" "own ""name""", visit_1_later visit_customer_id_fkey, visit_2 visit_customer_id_fkey, visit visit_customer_id_fkey',
	'... keys of partitions are added before those of partitioned tables');
is($target->safe_psql('shop', "$kinds = 'VALIDATION'"), 'visit visit_customer_id_fkey, visit_1 of_films, visit_3 visit_3_film_id_fkey', '... and validated with them');
fails_with($target, 'SELECT ' . clone('shop'), '42P07', qr/^\d+ tables? of the source exists? here already$/, '... once: tables that exist are not made again',
	dbname => 'shop', detail => qr/public\.actor, .*public\.film/);
is($target->safe_psql('shop', 'SELECT count(*) FROM fastcopy.job'), '1', '... and no job is left of that');
is($target->safe_psql('postgres', 'SELECT count(*) FROM pg_subscription'), '0', '... a subscription is left to its source');
same_database('shop', 'a shop');

# Owners and privileges are left out on request.
make_databases('mine');
$source->safe_psql('mine', q(
	CREATE TABLE t (a integer PRIMARY KEY);
	INSERT INTO t SELECT generate_series(1, 10);
	ALTER TABLE t OWNER TO shop_owner;
	GRANT SELECT ON t TO clerk));
$job = $target->safe_psql('mine', 'SELECT ' . clone('mine', owners => 'false', privileges => 'false'));
is($target->safe_psql('mine', "SELECT fastcopy.wait($job)"), 'done', 'a database is cloned without owners and privileges');
is($target->safe_psql('mine', q(SELECT relowner::regrole = current_user::regrole, relacl IS NULL FROM pg_class WHERE relname = 't')), 't|t', '... all of it is mine');
is(differing_rows('mine'), '', '... with all rows');

# A warehouse in the form of TPC-H, from which some tables, and some rows, are taken too.
make_databases('warehouse');
$source->safe_psql('warehouse', q(
	CREATE TABLE region (r_regionkey integer PRIMARY KEY, r_name char(25) NOT NULL, r_comment varchar(152));
	CREATE TABLE nation (n_nationkey integer PRIMARY KEY, n_name char(25) NOT NULL, n_regionkey integer NOT NULL REFERENCES region, n_comment varchar(152));
	CREATE TABLE part (p_partkey integer PRIMARY KEY, p_name varchar(55) NOT NULL, p_mfgr char(25) NOT NULL, p_size integer NOT NULL, p_retailprice numeric(15,2) NOT NULL);
	CREATE TABLE supplier (s_suppkey integer PRIMARY KEY, s_name char(25) NOT NULL, s_nationkey integer NOT NULL REFERENCES nation, s_acctbal numeric(15,2) NOT NULL);
	CREATE TABLE partsupp (ps_partkey integer NOT NULL REFERENCES part, ps_suppkey integer NOT NULL REFERENCES supplier, ps_availqty integer NOT NULL, PRIMARY KEY (ps_partkey, ps_suppkey));
	CREATE TABLE customer (c_custkey integer PRIMARY KEY, c_name varchar(25) NOT NULL, c_nationkey integer NOT NULL REFERENCES nation, c_acctbal numeric(15,2) NOT NULL, c_mktsegment char(10) NOT NULL);
	CREATE TABLE orders (o_orderkey bigint PRIMARY KEY, o_custkey integer NOT NULL REFERENCES customer, o_orderstatus char(1) NOT NULL, o_totalprice numeric(15,2) NOT NULL, o_orderdate date NOT NULL);
	CREATE TABLE lineitem (l_orderkey bigint NOT NULL REFERENCES orders, l_linenumber integer NOT NULL, l_partkey integer NOT NULL, l_suppkey integer NOT NULL, l_quantity numeric(15,2) NOT NULL,
		l_extendedprice numeric(15,2) NOT NULL, l_shipdate date NOT NULL, l_comment varchar(44) NOT NULL, PRIMARY KEY (l_orderkey, l_linenumber), FOREIGN KEY (l_partkey, l_suppkey) REFERENCES partsupp);
	CREATE INDEX ON lineitem (l_shipdate);
	CREATE INDEX ON lineitem (l_partkey, l_suppkey);
	CREATE INDEX ON orders (o_custkey);
	CREATE INDEX ON orders USING brin (o_orderdate);
	INSERT INTO region SELECT g, 'REGION ' || g, 'r' FROM generate_series(0, 4) g;
	INSERT INTO nation SELECT g, 'NATION ' || g, g % 5, NULL FROM generate_series(0, 24) g;
	INSERT INTO part SELECT g, 'part ' || g, 'Manufacturer#' || g % 5, g % 50, 900 + g / 10.0 FROM generate_series(1, 2000) g;
	INSERT INTO supplier SELECT g, 'Supplier#' || g, g % 25, g * 1.5 - 50 FROM generate_series(1, 100) g;
	INSERT INTO partsupp SELECT 1 + g / 4, 1 + (g / 4 + g % 4 * 25) % 100, g % 9999 FROM generate_series(0, 7999) g;
	INSERT INTO customer SELECT g, 'Customer#' || g, g % 25, g * 1.25 - 900, 'MACHINERY' FROM generate_series(1, 1500) g;
	INSERT INTO orders SELECT g * 4, 1 + g % 1500, 'O', g * 12.34, date '1992-01-01' + g % 2400 FROM generate_series(1, 15000) g;
	INSERT INTO lineitem SELECT 4 + 4 * (g / 4), 1 + g % 4, p, s, g % 50, g * 1.01, date '1992-01-02' + g % 2500, 'comment ' || g
		FROM generate_series(0, 59999) g, LATERAL (SELECT 1 + g % 2000) a(p), LATERAL (SELECT 1 + (g % 2000 + g / 2000 % 4 * 25) % 100) b(s);
	CREATE VIEW revenue AS SELECT l_suppkey AS supplier_no, sum(l_extendedprice) AS total_revenue FROM lineitem GROUP BY l_suppkey));
$job = $target->safe_psql('warehouse', "SET fastcopy.chunk_size = '512kB'; SELECT " . clone('warehouse', workers => 4));
is($target->safe_psql('warehouse', "SELECT fastcopy.wait($job)"), 'done', 'a warehouse is cloned');
is($target->safe_psql('warehouse', "SELECT target_table FROM fastcopy.tables JOIN fastcopy.chunks USING (job) WHERE job = $job AND table_number = number ORDER BY chunk LIMIT 1"),
	'public.lineitem', '... the largest table first');
same_database('warehouse', 'a warehouse');

# Rows of a partition that its key has not seen on the source.
make_databases('violated');
$source->safe_psql('violated', q(
	CREATE TABLE sensor (id integer PRIMARY KEY);
	CREATE TABLE reading (sensor integer REFERENCES sensor, at date) PARTITION BY RANGE (at);
	CREATE TABLE reading_1 PARTITION OF reading FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
	CREATE TABLE reading_2 PARTITION OF reading FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
	ALTER TABLE reading_1 ADD CONSTRAINT "too" FOREIGN KEY (sensor) REFERENCES sensor NOT VALID;
	INSERT INTO sensor SELECT generate_series(1, 10);
	INSERT INTO reading SELECT 1 + g % 10, date '2024-01-01' + g FROM generate_series(0, 59) g;
	SET session_replication_role = replica;
	INSERT INTO reading VALUES (4711, '2024-02-02')));
$job = $target->safe_psql('violated', 'SELECT ' . clone('violated'));
fails_with($target, "SELECT fastcopy.wait($job)", '23503', qr/table "reading(_2)?" violates foreign key constraint "reading_sensor_fkey"/, 'a row of a partition that its key has not seen',
	dbname => 'violated', detail => qr/4711/, context => qr/definition of VALIDATION public\.reading reading_sensor_fkey of the source/);
is($target->safe_psql('violated', q(SELECT string_agg(DISTINCT convalidated::text, ' ') FROM pg_constraint WHERE conname = 'reading_sensor_fkey')), 'false', '... no key of which is valid');
$target->safe_psql('violated', "DELETE FROM reading WHERE sensor = 4711; SELECT fastcopy.resume($job)");
is($target->safe_psql('violated', "SELECT fastcopy.wait($job)"), 'done', '... and without it, the job goes on');
is(states_of($target, 'violated'), states_of($source, 'violated'), '... to what the source has');

# Another encoding.
$source->safe_psql('postgres', q(CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1'));
$target->safe_psql('postgres', 'CREATE DATABASE latin TEMPLATE template0');
$target->safe_psql('latin',    'CREATE EXTENSION pg_fastcopy');
$source->safe_psql('latin', q(
	SET client_encoding = 'UTF8';
	CREATE TABLE "Größe" ("é" text DEFAULT 'à' PRIMARY KEY CHECK ("é" <> 'ü'));
	COMMENT ON TABLE "Größe" IS 'ç';
	INSERT INTO "Größe" VALUES ('ñ'), (DEFAULT)));
$job = $target->safe_psql('latin', 'SELECT ' . clone('latin'));
is($target->safe_psql('latin', "SELECT fastcopy.wait($job)"), 'done', 'a database in LATIN1 is cloned into one in UTF8');
is($target->safe_psql('latin', q(SELECT string_agg("é", ' ' ORDER BY "é") FROM "Größe")), 'à ñ', '... with its rows');
$target->safe_psql('latin', 'DROP EXTENSION pg_fastcopy CASCADE');
is(differing_definitions(conninfo($source, dbname => 'latin'), conninfo($target, dbname => 'latin'), '--encoding=UTF8'), '', '... and definitions');

no_leftovers($source, $target, 'at the end');
done_testing();
