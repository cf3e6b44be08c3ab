// Finding a job by its id: in the registry while it runs, in the ledger once its plan is committed.
#ifndef FASTCOPY_API_LOOKUP_HPP
#define FASTCOPY_API_LOOKUP_HPP

#include "api/access.hpp"
#include "job/ledger.hpp"
#include "job/registry.hpp"

namespace fastcopy::api {

// A live job's slot and owner, copied out of the registry.
struct Live {
    bool found;
    job::SlotRef slot;
    Oid owner;
    Oid target;
};

// The job's slot in the registry; found is false if it is not running.
Live find_live(int64 job);

// The job's row, not found while the job is being planned. An ERROR unless the current role may see
// the job, and `may` accepts its owner.
job::ledger::JobRow require_job(int64 job, const Live &live, bool (*may)(Oid owner));

}  // namespace fastcopy::api

#endif
