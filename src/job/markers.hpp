// What a job records of its source and its tables: markers by which changes are detected when it is
// resumed, and the indexes and foreign keys that it has set aside.
//
// Plain data that the ledger keeps: plan/markers.hpp explains the source's markers,
// sink/target_files.hpp, sink/indexes.hpp and sink/foreign_keys.hpp the target's.
#ifndef FASTCOPY_JOB_MARKERS_HPP
#define FASTCOPY_JOB_MARKERS_HPP

#include "pg/postgres.hpp"

namespace fastcopy::job {

// A marker that the source does not report is nullptr.
struct SourceMarkers {
    const char *server;
    const char *snapshot;  // as pg_current_snapshot() prints it: xmin:xmax:xip
    const char *position;  // in the WAL, as pg_lsn
};

// Of one of its tables.
struct TableMarkers {
    const char *relations;
    const char *columns;
};

struct TargetFiles {
    int count;
    const char **files;  // each the OID of a table and its filenode
    bool unlogged;       // at least one of them
};

struct TargetIndex {
    Oid oid;
    const char *name;        // quoted, schema-qualified
    const char *definition;  // from pg_get_indexdef, for users
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
    const char *definition;  // from pg_get_constraintdef, for users
    bool valid;              // before the job
};

struct TargetForeignKeys {
    int count;
    TargetForeignKey *keys;
};

}  // namespace fastcopy::job

#endif
