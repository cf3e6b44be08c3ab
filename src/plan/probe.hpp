// The last question before a plan is made: can the source run what the workers will ask for?
//
// The filter is the caller's text. It must be one expression: it is parsed first without our
// parentheses (a text that closes one of them could undo the condition on the chunk's range), then
// within. Parsing is by the extended protocol, which takes one statement only; nothing is run
// before both have passed.
#ifndef FASTCOPY_PLAN_PROBE_HPP
#define FASTCOPY_PLAN_PROBE_HPP

#include "plan/chunk.hpp"
#include "plan/source_table.hpp"

namespace fastcopy::plan {

// Has the source parse and plan the SELECT of the whole table, which checks columns, filter,
// privileges and row security. LIMIT 0 reads no row, but locks every table in the query against
// ALTER TABLE.
void probe(source::Connection *connection, const SourceTable &table, const RowShape &shape);

// The same; if names are not found, again under the role's own search_path, which the connection
// then uses for all statements on the table (source/search_path). `fixed_path`: do not, as it would
// change values (plan/name_types).
void probe_by_any_path(source::Connection *connection, const SourceTable &table,
                       const RowShape &shape, bool fixed_path);

}  // namespace fastcopy::plan

#endif
