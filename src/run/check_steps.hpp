// The steps of fastcopy.check, and what they know of each other. See run/check.hpp.
#ifndef FASTCOPY_RUN_CHECK_STEPS_HPP
#define FASTCOPY_RUN_CHECK_STEPS_HPP

#include "plan/source_table.hpp"
#include "run/find_tables.hpp"
#include "run/findings.hpp"

namespace fastcopy::run::check {

// The tables of $1 with their partitions: r, with the number n of the table.
#define WITH_RELATIONS                                                                          \
    "WITH RECURSIVE r(n, oid) AS (SELECT u.n, u.oid"                                            \
    " FROM pg_catalog.unnest($1::pg_catalog.oid[]) WITH ORDINALITY u(oid, n)"                   \
    " UNION SELECT r.n, i.inhrelid FROM r JOIN pg_catalog.pg_inherits i ON i.inhparent = r.oid" \
    " JOIN pg_catalog.pg_class p ON p.oid = i.inhrelid AND p.relispartition)"

// What messages call the two sides.
constexpr const char *on_source = "source";
constexpr const char *on_target = "target";

struct Check {
    job::Request request;
    Findings findings;
    source::Connection *connection;  // nullptr before the first step, and if that has failed
    bool in_transaction;             // on the source
    bool lost;                       // the connection
    Listing listing;                 // likewise: the arrays below have an element per table
    plan::SourceTable *tables;
    plan::SourceColumns *columns;
    int64 relations;  // source tables with partitions, and their sequences
    int64 bytes;      // of these, with indexes

    void add(Severity severity, const char *object, const char *finding,
             const char *hint = nullptr) {
        findings.add(severity, object, finding, hint);
    }
    // The source's OIDs of the tables, as an array's text.
    const char *oids() const;
};

// Table by table; `n` is its place in the request.
void read_table(Check *check, int n);
void probe_table(Check *check, int n);

// The source as a server.
void check_versions(Check *check, int);
void check_source_of_definitions(Check *check, int);
void check_source_limits(Check *check, int);
void check_table_kinds(Check *check, int);
void check_foreign_tables(Check *check, int);
void check_encodings(Check *check, int);

// Definitions.
void check_missing(Check *check, int);
void check_foreign_keys(Check *check, int);
void check_clashes(Check *check, int);
void check_schemas(Check *check, int);
void check_large_objects(Check *check, int);
void check_subscriptions(Check *check, int);

// This server.
void check_sizes(Check *check, int);
void check_target_limits(Check *check, int);
void check_wal(Check *check, int);
void check_targets(Check *check, int);

}  // namespace fastcopy::run::check

#endif
