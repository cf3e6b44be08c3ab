// What the source says about a table: looked up in its catalogs and sizes, never by scanning it.
//
// The same few queries serve a thousand rows and a billion. All of them run in the coordinator's
// transaction on the source, under the snapshot that the workers will import, but for the first, which
// finds the table before the transaction locks it.
#ifndef FASTCOPY_PLAN_SOURCE_TABLE_HPP
#define FASTCOPY_PLAN_SOURCE_TABLE_HPP

#include "plan/chunk.hpp"
#include "source/connection.hpp"

namespace fastcopy::plan {

// The table that the job names.
struct SourceTable {
    Oid oid;
    char relkind;
    const char *name;  // quoted, schema-qualified
    bool readable;     // all of its columns
};

// A column of it.
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
    bool is_system;      // the oid of a table WITH OIDS
    const char *layout;  // length, alignment and binary functions of the type, in words
};

// A relation that holds rows: the table itself, a partition, or an inheritance child.
struct SourceLeaf {
    Oid oid;
    char relkind;
    bool is_heap;
    const char *name;      // quoted, schema-qualified
    const char *schema;    // unquoted, and so
    const char *relation;  // its name in it
    bool readable;  // by itself: who may read a table need not be allowed to read its partitions
    bool
        by_name;  // to be read as a SELECT by its name does, not by ONLY and ctid: see front_door.hpp
    bool by_keys;      // and if so, in ranges of a key
    int64 heap_bytes;  // without TOAST
    int64 toast_bytes;
    int32 block_size;
    Oid filenode;       // of its file; 0: it has none
    bool has_children;  // by inheritance: its name gives their rows too
};

struct SourceColumns {
    int count;
    SourceColumn *columns;
};

struct SourceLeaves {
    int count;
    SourceLeaf *leaves;
};

// A column that a leaf can be split on, because an index serves ranges of it.
struct SplitKey {
    bool found;
    const char *column;     // unquoted
    const char *type_name;  // of the base type, quoted, schema-qualified: what format_type says
    Oid type;               // of the base type
    const char *collation;  // of the index, quoted, schema-qualified; nullptr: not collatable
    bool collate_index;     // the index's collation is not the column's
    bool not_null;
    const char *less;      // the index's operator <, as OPERATOR(...)
    const char *not_less;  // and >=
    bool usual_order;      // the index has the type's default operator class
};

// Finds the table as the source's own session would, by its default search_path.
SourceTable find_table(source::Connection *connection, const char *name);

// Begins the job's transaction on the source, keeps the table from being changed in shape, and exports
// the snapshot.
const char *begin_and_export(source::Connection *connection, const SourceTable &table);

SourceColumns read_columns(source::Connection *connection, const SourceTable &table);
SourceLeaves read_leaves(source::Connection *connection, const SourceTable &table);

// An ERROR if the chunk's relation, or one below it, has another file than in the connection's snapshot: TRUNCATE or
// a rewrite has taken rows along. What the connection has read itself is locked, and cannot change any more.
void check_not_replaced(source::Connection *connection, const Chunk &chunk);

// The key to split a leaf on: the one named, or the best that its indexes offer when column is nullptr.
SplitKey find_key(source::Connection *connection, const SourceLeaf &leaf, const char *column);

// Values of the key between which about equally many rows lie, as the source's statistics tell; in the
// order of the source, without repetition.
source::Rows read_histogram(source::Connection *connection, const SourceLeaf &leaf,
                            const SplitKey &key);

// The least and the greatest key in one row, by the index. Integers as they are.
source::Rows read_extremes(source::Connection *connection, const SourceLeaf &leaf,
                           const SplitKey &key);

// Instants evenly spaced between the least and the greatest key, for date and timestamp keys.
source::Rows read_even_instants(source::Connection *connection, const SourceLeaf &leaf,
                                const SplitKey &key, int pieces);

}  // namespace fastcopy::plan

#endif
