// A chunk: the range of one source relation that one worker copies in one local transaction.
//
// The planner makes chunks, the ledger keeps them, and a worker turns each into the query that it
// sends. Ranges are half open; the first chunk of a relation has no lower bound and the last no
// upper bound, so that every row is in exactly one chunk, whatever its key or location.
#ifndef FASTCOPY_PLAN_CHUNK_HPP
#define FASTCOPY_PLAN_CHUNK_HPP

#include "pg/postgres.hpp"

namespace fastcopy::plan {

enum class Kind : char {
    whole,   // all rows of the relation
    blocks,  // heap blocks [first_block, end_block); end_block < 0: to the end
    range,   // keys in [lower, upper); a bound that is nullptr is open
    nulls,   // rows whose key is NULL
    keys,    // rows whose key is one of those in the array `lower`
};

constexpr const char *name_of(Kind kind) {
    switch (kind) {
        case Kind::whole:
            return "whole";
        case Kind::blocks:
            return "blocks";
        case Kind::range:
            return "range";
        case Kind::nulls:
            return "nulls";
        case Kind::keys:
            return "keys";
    }
    return "unknown";
}

struct Chunk {
    int32 number;          // from 1, in the job
    int32 table;           // the number of its table, from 1, in the job
    const char *relation;  // quoted, schema-qualified name on the source
    Kind kind;
    bool only;  // the relation's own rows, not those of its children
    int64 first_block;
    int64 end_block;
    const char *key;       // quoted column name, with COLLATE if needed; for range, nulls and keys
    const char *key_type;  // quoted type name; range and keys
    // The operators < and >= of the index on the key, as OPERATOR(...); of Kind::keys, `less` is
    // its operator =.
    const char *less;
    const char *not_less;
    const char *lower;
    const char *upper;
    // From the ledger, of a chunk that is done.
    bool done;
    uint64 rows_sent;  // by the source
    uint64 rows;       // inserted
    uint64 bytes;
};

// What all chunks of a job have in common.
struct RowShape {
    int ncolumns;
    const char **columns;  // unquoted, in the order of the fields
    Oid *types;            // base types of the target's columns when the job was planned
    const char *filter;    // nullptr: all rows
    bool binary;
    bool *as_written;  // by column: see sink/as_written.hpp
    const char
        *text_because;  // the first column that keeps rows from being binary; nullptr if they are
};

// Quotes an identifier in any case: the source may have keywords
// that this server does not.
char *quote_always(const char *identifier);

// The condition that the key is one of those in the literal of an array; all but the keys quoted.
char *keys_condition(const char *key, const char *equal, const char *keys, const char *type);

// The COPY statement that returns the chunk's rows.
char *copy_statement(const Chunk &chunk, const RowShape &shape);

// What follows FROM for the chunk's rows: the relation, the chunk's condition, the job's filter.
char *from_clause(const Chunk &chunk, const RowShape &shape);

// The SELECT statement within the COPY.
char *select_statement(const Chunk &chunk, const RowShape &shape);

// The chunk's range, for messages.
char *describe(const Chunk &chunk);

}  // namespace fastcopy::plan

#endif
