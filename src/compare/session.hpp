// The two sessions of a comparison's worker: one here, one on the source, under the same settings.
//
// Rows are compared by their text form, so all settings that it depends on are equal on both sides:
// time zone, styles, search_path, digits of floats. Each side is read under one snapshot, which the
// leader has exported: the source's in a transaction on the source, the target's in this process.
// Both only read.
#ifndef FASTCOPY_COMPARE_SESSION_HPP
#define FASTCOPY_COMPARE_SESSION_HPP

#include "pg/postgres.hpp"
#include "source/connection.hpp"

namespace fastcopy::compare {

// Applies the settings to this process. `own_search_path`: its own one, after pg_catalog, instead
// of an empty one.
void normalize_here(bool own_search_path);

// Sets the digits of floats in both sessions.
void set_float_digits(source::Connection *connection, int digits);

// Whether the planner may use a sequential scan: a piece that is a part of a table is read by ctid
// or index.
void allow_sequential_scans_here(bool allow);

}  // namespace fastcopy::compare

#endif
