// How rows are written into a target: through COPY FROM, or through INSERT by the target's name.
//
// Rows must go where INSERT INTO target puts them. COPY FROM within the process (and the fast path)
// is equivalent only if nothing intervenes: an engine like TimescaleDB or Citus puts a planner hook
// between a table's name and its rows, which COPY FROM within the process bypasses. So the INSERT
// is planned, and its plan examined. A plan that is a plain ModifyTable on the target allows COPY
// FROM. All others mean INSERT: custom scans, tables whose INSERT is rewritten by rules; so do
// views and foreign tables, and partitions that are foreign tables.
#ifndef FASTCOPY_SINK_WRITER_HPP
#define FASTCOPY_SINK_WRITER_HPP

#include "pg/postgres.hpp"

namespace fastcopy::sink {

enum class Way { copy, insert };

constexpr const char *name_of(Way way) {
    return way == Way::copy ? "copy" : "insert";
}

struct Writer {
    Way way;
    const char *reason;
    bool by_engine;  // the plan has a node of an engine
    bool rewritten;  // by rules, into statements that may read the rows more than once
};

// The statement that inserts what incoming_rows() returns into these columns (unquoted names), as
// COPY would: values for identity columns are kept.
char *insert_statement(Relation target, int ncolumns, const char *const *columns);

// Needs an active snapshot.
Writer choose_writer(Relation target, int ncolumns, const char *const *columns);

}  // namespace fastcopy::sink

#endif
