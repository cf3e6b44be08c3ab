// The front door: a table's rows are what SELECT returns by the table's name.
//
// Reading leaves one by one, with ONLY and by ctid, is a fast path. In the catalogs, a table of
// TimescaleDB or Citus looks like a plain heap, but its rows are stored elsewhere: an engine's
// planner hook stands between the table's name and its rows. So the planner is asked, with EXPLAIN
// of a SELECT by the name. The plan of an ordinary table consists of scans of its leaves, without
// any condition. Other plans have:
//
//   a custom scan of one leaf   of an engine known to keep the leaf's rows elsewhere (a compressed chunk of a hypertable,
//                               a columnar table): this leaf is read by its own name, in one chunk
//   anything else               the whole table is read by its name: in ranges of an indexed key, or in one chunk
//
// A leaf that does not occur in the plan has no rows to give, and is left out.
//
// The text of the plan comes from the source, or from this server for the target of a comparison.
// It is data like any other: a plan that is not understood rules out the fast path.
#ifndef FASTCOPY_PLAN_FRONT_DOOR_HPP
#define FASTCOPY_PLAN_FRONT_DOOR_HPP

#include "plan/chunk.hpp"
#include "plan/source_table.hpp"
#include "source/connection.hpp"

namespace fastcopy::plan {

// A leaf in the plan.
struct PlanScan {
    const char *schema;  // unquoted
    const char *relation;
    bool plain;  // all of its rows are in its own storage
};

// What a plan says.
struct FrontDoor {
    const char *obstacle;  // why leaves cannot be read one by one; nullptr: they can
    bool across_nodes;     // of a Citus cluster, which has no snapshot in common
    int count;
    PlanScan *scans;  // sorted; a leaf occurs once
};

// The EXPLAIN statement whose answer read_plan understands.
char *explain_statement(const char *relation, const RowShape &shape);

// Reads the plan in JSON. An ERROR if it is not JSON.
FrontDoor read_plan(const char *json);

// The scan of the relation in the plan, or nullptr.
const PlanScan *find_scan(const FrontDoor &door, const char *schema, const char *relation);

// How a source table is read, and why.
struct Reader {
    bool by_table;  // by the table's name
    const char *reason;
    bool no_common_snapshot;
};

// Asks the source for the plan, and makes the leaves what is to be read: those in the plan, or the
// table as a whole.
Reader choose_reader(source::Connection *connection, const SourceTable &table,
                     const RowShape &shape, Leaves *leaves);

}  // namespace fastcopy::plan

#endif
