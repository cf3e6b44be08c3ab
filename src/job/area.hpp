// A job's own shared memory, by which its processes communicate.
//
// There is one dynamic segment per job, created by the session that calls fastcopy.start and mapped
// by that session until start returns, by the coordinator and by the workers. PostgreSQL frees it
// when the last of them has exited. The connection string with its password is here and nowhere
// else.
//
// Writers:
//   request        the caller, before the coordinator exists; wiped by the coordinator as it exits.
//                  Read and wiped under the registry's lock: a worker may start while the job ends.
//   answer         the coordinator, once: ready or failed (`error` is complete then)
//   job, notice    the coordinator, before it moves `gate`
//   snapshot       the coordinator, or a worker on the coordinator's request
//   gate           the coordinator: workers wait at it until the plan is committed
//   error          the first process of the job that fails
#ifndef FASTCOPY_JOB_AREA_HPP
#define FASTCOPY_JOB_AREA_HPP

#include "job/request.hpp"
#include "pg/error_report.hpp"
#include "pg/identity.hpp"

namespace fastcopy::job {

enum class Answer : uint32 { pending, ready, failed };
// What workers do at each position of the gate: at `joining` they connect to the source and lock
// what they will read, at `checking` they count the rows of chunks that are done, at `open` they
// copy.
enum class Gate : uint32 { shut, joining, checking, open };

// The warning about such a source table, by start and in fastcopy.status.
inline constexpr const char *no_common_snapshot =
    "the nodes that keep the source table have no snapshot in common";

struct Area {
    pg::Identity identity;
    Latch *caller_latch;
    pg_atomic_uint32 answer;
    pg_atomic_uint32 gate;
    int64 job;               // the ledger's id, valid when the gate is open
    int32 workers_launched;  // valid when the answer is ready
    uint32
        done_before;  // chunks that former runs of the job have done; valid when the gate is open
    bool filtered;    // likewise: a table of the job has a filter
    bool stores_elsewhere;    // likewise: rows go to other servers, through foreign tables
    char notice[1024];        // what the caller should know; valid when the answer is ready
    char warning[512];        // likewise, as a WARNING
    bool no_common_snapshot;  // likewise: the nodes of the source table have none
    char snapshot[128];       // the exported snapshot's name; see run/snapshot.hpp for its locks
    pg_atomic_uint32 snapshot_custody;
    pg_atomic_uint32 marker_pending;   // coordinator: 1 → 0, see run/marker_wait.hpp
    pg_atomic_uint32 search_path;      // coordinator, then workers: see run/search_path.hpp
    char lock_statement[512];          // coordinator, before they lock; see run/lock_wait.hpp
    pg_atomic_uint32 lock_waited_for;  // workers: 0 → 1, when one of them waits for a lock
    pg::ErrorReport error;
    uint32 request_size;
    bool request_wiped;
    char request[FLEXIBLE_ARRAY_MEMBER];  // a packed Request
};

// Creates the segment and writes the request into it. The mapping belongs to the current resource
// owner.
dsm_segment *create_area(const Request &request, const pg::Identity &identity);

// Maps a job's segment for the life of this process; nullptr if the job has ended.
Area *attach_area(dsm_handle handle);

// Overwrites the request with its password.
void wipe_request(Area *area);

// The request; strings are palloc'd in the current memory context. An ERROR if it was wiped.
Request read_request(const Area *area);

}  // namespace fastcopy::job

#endif
