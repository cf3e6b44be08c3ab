// Runs definitions that pg_dump has written.
#ifndef FASTCOPY_SINK_DEFINITION_SQL_HPP
#define FASTCOPY_SINK_DEFINITION_SQL_HPP

#include "pg/postgres.hpp"

namespace fastcopy::sink {

// Sets what pg_dump's statements are written for, until end_definitions, or the end of the transaction
// if that fails. Returns what end_definitions wants.
int begin_definitions();
void end_definitions(int nest_level);

// Runs statements in between, as the current role. `kind` and `name` are the object's, for errors.
void run_definition(const char *kind, const char *name, const char *sql);

}  // namespace fastcopy::sink

#endif
