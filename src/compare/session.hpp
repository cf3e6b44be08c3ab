// The two sessions of a comparison's worker: one here, one on the source, under the same settings.
//
// A row is compared by its text form, so whatever a text form depends on is set alike: time zone, styles,
// search_path, digits of floats. Each side is read under one snapshot, which the leader exported: the source's in a
// transaction on the source, the target's in this process. Both only read.
#ifndef FASTCOPY_COMPARE_SESSION_HPP
#define FASTCOPY_COMPARE_SESSION_HPP

#include "pg/postgres.hpp"
#include "source/connection.hpp"

namespace fastcopy::compare {

// Settings of this process. `own_search_path`: the one it has, behind pg_catalog, rather than none.
void normalize_here(bool own_search_path);

// Floats in both sessions, once the plan says how.
void set_float_digits(source::Connection *connection, int digits);

// Whether the planner may read all of a table in sequence: a piece that is a part of it is found by ctid or index.
void allow_sequential_scans_here(bool allow);

}  // namespace fastcopy::compare

#endif
