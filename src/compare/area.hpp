// A comparison's shared memory: what its processes tell one another.
//
// Two dynamic segments. The area is made by the session that calls fastcopy.compare and mapped by it and by
// all workers: the request, password and all, where the pieces are claimed, and the results. The plan is
// made by worker 0, the leader, since its size is not known before. Both go when the last process that
// maps them has gone, and the last one to leave the area overwrites the request.
//
// Who writes what:
//   request                    the caller, before any worker exists; the last to leave, who wipes it
//   snapshots, pieces, plan    the leader, before it moves `stage`; read-only afterwards
//   stage                      the leader, then the caller
//   next, pieces_done          whoever works, as atomics
//   results                    one element per worker, which alone writes it; the caller reads it once
//                              pieces_done has come to the number of pieces
//   error                      the first worker that fails
#ifndef FASTCOPY_COMPARE_AREA_HPP
#define FASTCOPY_COMPARE_AREA_HPP

#include "compare/plan.hpp"
#include "core/tally.hpp"
#include "job/request.hpp"
#include "pg/error_report.hpp"
#include "pg/identity.hpp"

namespace fastcopy::compare {

// planned: by the leader; known: by the caller, who has read the plan and no longer needs the leader for it.
enum class Stage : uint32 { planning, planned, known };

// What is known of the rows of one range on one side.
struct Tally {
    uint64 rows;
    core::Sum sums[2];
};

struct Results {
    pg_atomic_uint32 finished;
    Tally tallies[2][max_ranges];  // by side and range
    uint64 totals[2];              // of the table by its name, if this worker has counted it
};

struct Area {
    pg::Identity identity;
    Latch *caller_latch;
    Latch *leader_latch;
    pg_atomic_uint32 users;  // processes that map the area; none can come when there are none left
    pg_atomic_uint32 stage;
    dsm_handle plan;
    char snapshots[2][128];  // exported by the leader, by side
    uint32 pieces[2];
    pg_atomic_uint32 next[2];
    pg_atomic_uint32 pieces_done;
    pg::ErrorReport error;
    uint32 workers;
    uint32 request_size;
    Results results[FLEXIBLE_ARRAY_MEMBER];  // one per worker, then the packed job::Request
};

// Makes the area for so many workers. The mapping belongs to the current resource owner.
dsm_segment *create_area(const job::Request &request, const pg::Identity &identity);

// Maps it for the life of this process; nullptr when the comparison is over.
Area *attach_area(dsm_handle handle);

// The request, its strings palloc'd in the current memory context.
job::Request read_request(const Area *area);

// The leader's plan as a segment that lives as long as the leader, and back; false when the leader has gone.
dsm_handle publish_plan(const Plan &plan);
bool read_plan(dsm_handle handle, Plan *plan);

}  // namespace fastcopy::compare

#endif
