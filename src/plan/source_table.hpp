// Facts about source tables, from the source's catalogs and file sizes: the tables are never scanned.
// A query is about many tables, as the time that a small table takes is that of queries.
//
// All queries but the first run in the coordinator's transaction on the source, under the snapshot
// that the workers import. The first finds the table, before the transaction locks it.
#ifndef FASTCOPY_PLAN_SOURCE_TABLE_HPP
#define FASTCOPY_PLAN_SOURCE_TABLE_HPP

#include <span>

#include "plan/chunk.hpp"
#include "plan/leaf.hpp"
#include "source/connection.hpp"

namespace fastcopy::plan {

// The source table.
struct SourceTable {
    Oid oid;
    char relkind;
    const char *name;  // quoted, schema-qualified
    bool readable;     // all of its columns
    bool has_children;
    bool alone;  // read without the tables that inherit from it, which are read on their own
};

// A column of the source table.
struct SourceColumn {
    const char *name;  // unquoted
    bool generated;
    bool not_null;
    Oid type;               // of the base type, domains looked through
    const char *type_name;  // unquoted, of the base type
    char type_kind;         // pg_type.typtype of the base type
    bool built_in;          // the type's OID means the same on every server
    bool is_array;
    bool has_binary;     // has send and receive functions
    bool is_system;      // oid of a table WITH OIDS
    const char *layout;  // length, alignment and binary functions of the type, as text
};

struct SourceColumns {
    int count;
    SourceColumn *columns;
};

// The column of that unquoted name, or nullptr.
const SourceColumn *find_column(const SourceColumns &columns, const char *name);

// Whether LOCK TABLE takes it: that needs the privilege on all columns.
inline bool is_lockable(const SourceTable &table) {
    return table.readable &&
           (table.relkind == RELKIND_RELATION || table.relkind == RELKIND_PARTITIONED_TABLE);
}

// Finds tables under the default search_path of the source's session. `tables` has room for as many
// as there are names; so do `columns` and `leaves` below.
void find_tables(source::Connection *connection, std::span<const char *const> names,
                 SourceTable *tables);

// Begins the job's transaction on the source, locks the tables against ALTER TABLE, and exports the
// snapshot.
const char *begin_and_export(source::Connection *connection, std::span<const SourceTable> tables);

void read_columns(source::Connection *connection, std::span<const SourceTable> tables,
                  SourceColumns *columns);
void read_leaves(source::Connection *connection, std::span<const SourceTable> tables,
                 Leaves *leaves);

// An ERROR if a chunk's relation, or one below it, has another file than in the connection's
// snapshot: TRUNCATE or a rewrite has removed rows that the snapshot sees. Relations that the
// connection has read are locked and keep theirs.
void check_not_replaced(source::Connection *connection, std::span<const Chunk> chunks);

}  // namespace fastcopy::plan

#endif
