#include "job/claim.hpp"

#include <algorithm>

namespace fastcopy::job {

namespace {

struct Targets {
    int32 count;
    Oid targets[FLEXIBLE_ARRAY_MEMBER];
};

// The coordinator's own segment, until it exits.
dsm_handle publish(std::span<const Oid> targets) {
    dsm_segment *segment = dsm_create(offsetof(Targets, targets) + targets.size_bytes(), 0);
    dsm_pin_mapping(segment);
    auto *published = static_cast<Targets *>(dsm_segment_address(segment));
    published->count = static_cast<int32>(targets.size());
    std::copy(targets.begin(), targets.end(), published->targets);
    return dsm_segment_handle(segment);
}

// A target of the job in the slot that is in the family, or InvalidOid.
Oid find_in(std::span<const Oid> family, const JobSlot *slot) {
    auto is_in_family = [family](Oid target) {
        return std::binary_search(family.begin(), family.end(), target);
    };
    if (OidIsValid(slot->target))
        return is_in_family(slot->target) ? slot->target : InvalidOid;
    dsm_segment *segment = dsm_attach(slot->targets);
    // Its coordinator has exited; its workers may still write, to whichever table.
    if (segment == nullptr)
        return slot->abandoned && !family.empty() ? family.front() : InvalidOid;
    auto *published = static_cast<const Targets *>(dsm_segment_address(segment));
    Oid found = InvalidOid;
    for (int i = 0; i < published->count && !OidIsValid(found); i++) {
        if (is_in_family(published->targets[i]))
            found = published->targets[i];
    }
    dsm_detach(segment);
    return found;
}

}  // namespace

Claimed claim_job(JobSlot *slot, int64 job, bool exclusive, std::span<const Oid> targets,
                  std::span<const Oid> family) {
    // A former attempt may have published them.
    static dsm_handle published = DSM_HANDLE_INVALID;
    if (!OidIsValid(slot->target) && published == DSM_HANDLE_INVALID)
        published = publish(targets);
    Claimed result{Claim::mine, 0, InvalidOid};
    lock_registry(LW_EXCLUSIVE);
    for (uint32 i = 0; i < slot_count() && result.claim == Claim::mine; i++) {
        JobSlot *other = job_slot(i);
        if (other == slot || !other->in_use || other->job == 0 || other->database != MyDatabaseId)
            continue;
        bool same = other->job == job;
        Oid shared = !same && (exclusive || other->exclusive) ? find_in(family, other) : InvalidOid;
        if (!same && !OidIsValid(shared))
            continue;
        result.other = other->job;
        result.target = shared;
        result.claim = other->abandoned ? Claim::being_left
                       : same           ? Claim::running
                                        : Claim::target_taken;
    }
    if (result.claim == Claim::mine) {
        slot->targets = published;
        slot->job = job;
        slot->exclusive = exclusive;
    }
    unlock_registry();
    return result;
}

}  // namespace fastcopy::job
