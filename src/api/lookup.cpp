#include "api/lookup.hpp"

namespace fastcopy::api {

Live find_live(int64 job) {
    Live live{};
    job::lock_registry(LW_SHARED);
    job::JobSlot *slot = job::find_job(job);
    if (slot != nullptr) {
        live.found = true;
        live.slot = job::SlotRef{static_cast<uint32>(slot - job::job_slot(0)), slot->generation};
        live.owner = slot->owner;
        live.target = slot->target;
    }
    job::unlock_registry();
    return live;
}

job::ledger::JobRow require_job(int64 job, const Live &live, bool (*may)(Oid owner)) {
    job::ledger::JobRow row = job::ledger::read_job(job);
    if (!row.found && !live.found)
        raise_no_such_job(job);
    Oid owner = live.found ? live.owner : row.owner;
    if (!may_see(owner))
        raise_no_such_job(job);
    if (!may(owner))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("permission denied for fastcopy job " INT64_FORMAT, job),
                        errdetail("The job belongs to another role.")));
    return row;
}

}  // namespace fastcopy::api
