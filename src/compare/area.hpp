// A comparison's shared memory, by which its processes communicate.
//
// There are two dynamic segments. The area is created by the session that calls fastcopy.compare
// and mapped by it and all workers: the request with its password, the claim counters, and the
// results. The plan is created by worker 0, the leader, since its size is not known before. Both
// are freed when the last process that maps them has exited, and the last one to leave the area
// overwrites the request.
//
// Writers:
//   request                    the caller, before any worker exists; wiped by the last to leave
//   snapshots, pieces, plan    the leader, before it moves `stage`; read-only afterwards
//   stage                      the leader, then the caller
//   next, pieces_done          all workers, atomically
//   results                    one element per worker, its only writer; the caller reads them once
//                              pieces_done has reached the number of pieces
//   error                      the first worker that fails
#ifndef FASTCOPY_COMPARE_AREA_HPP
#define FASTCOPY_COMPARE_AREA_HPP

#include "compare/plan.hpp"
#include "core/tally.hpp"
#include "job/request.hpp"
#include "pg/error_report.hpp"
#include "pg/identity.hpp"

namespace fastcopy::compare {

// planned: by the leader; known: the caller has read the plan, and no longer needs the leader for
// it.
enum class Stage : uint32 { planning, planned, known };

// The rows of one range on one side.
struct Tally {
    uint64 rows;
    core::Sum sums[2];
};

struct Results {
    pg_atomic_uint32 finished;
    Tally tallies[2][max_ranges];  // by side and range
    uint64 totals[2];              // of the table by its name, if counted by this worker
};

struct Area {
    pg::Identity identity;
    Latch *caller_latch;
    Latch *leader_latch;
    pg_atomic_uint32 users;  // processes that map the area; once 0, no other can enter
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

// Creates the area for the request's number of workers. The mapping belongs to the current resource
// owner.
dsm_segment *create_area(const job::Request &request, const pg::Identity &identity);

// Maps the area for the life of this process; nullptr if the comparison is over.
Area *attach_area(dsm_handle handle);

// The request, its strings palloc'd in the current memory context.
job::Request read_request(const Area *area);

// Publishes the leader's plan as a segment that lives as long as the leader; reads it: false if the
// leader has exited.
dsm_handle publish_plan(const Plan &plan);
bool read_plan(dsm_handle handle, Plan *plan);

}  // namespace fastcopy::compare

#endif
