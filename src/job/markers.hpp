// What a job remembers of its two tables: what tells, when it is resumed, whether they have changed, and the
// indexes that it has set aside.
//
// Plain data that the ledger keeps: plan/markers.hpp says what the source's markers mean, sink/target.hpp
// and sink/indexes.hpp what the target's do.
#ifndef FASTCOPY_JOB_MARKERS_HPP
#define FASTCOPY_JOB_MARKERS_HPP

#include "pg/postgres.hpp"

namespace fastcopy::job {

// A marker that the source cannot or may not tell is nullptr.
struct SourceMarkers {
    const char *server;
    const char *snapshot;  // as pg_current_snapshot() prints it: xmin:xmax:xip
    const char *position;  // in the WAL, as pg_lsn
    const char *relations;
    const char *columns;
};

struct TargetFiles {
    int count;
    const char **files;  // each the OID of a table and the number of its file
    bool unlogged;       // one of them at least
};

struct TargetIndex {
    Oid oid;
    const char *name;        // quoted, schema-qualified
    const char *definition;  // as pg_get_indexdef has it, for people
    int cost;                // of building it, relative to that of others
};

struct TargetIndexes {
    int count;
    TargetIndex *indexes;
};

struct TargetForeignKey {
    Oid oid;
    const char *name;        // unquoted
    const char *table;       // quoted, schema-qualified
    const char *definition;  // as pg_get_constraintdef has it, for people
};

struct TargetForeignKeys {
    int count;
    TargetForeignKey *keys;
};

}  // namespace fastcopy::job

#endif
