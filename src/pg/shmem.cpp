#include "pg/shmem.hpp"

namespace fastcopy::pg {

namespace {

struct Anchor {
    LWLock lock;        // guards the handle, then whatever the segment's owner says
    dsm_handle handle;  // DSM_HANDLE_INVALID until the segment is made
};

}  // namespace

void *named_segment(const char *name, size_t size, void (*initialise)(void *memory),
                    LWLock **lock) {
    bool found;

    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    auto *anchor = static_cast<Anchor *>(ShmemInitStruct(name, sizeof(Anchor), &found));
    if (!found) {
        LWLockInitialize(&anchor->lock, LWLockNewTrancheId());
        anchor->handle = DSM_HANDLE_INVALID;
    }
    LWLockRelease(AddinShmemInitLock);
    LWLockRegisterTranche(anchor->lock.tranche, name);

    // An error in here releases the lock and leaves the handle invalid: the next caller tries again.
    dsm_segment *segment;
    LWLockAcquire(&anchor->lock, LW_EXCLUSIVE);
    if (anchor->handle == DSM_HANDLE_INVALID) {
        segment = dsm_create(size, 0);
        initialise(dsm_segment_address(segment));
        dsm_pin_segment(segment);
        anchor->handle = dsm_segment_handle(segment);
    } else {
        segment = dsm_attach(anchor->handle);
    }
    LWLockRelease(&anchor->lock);
    if (segment == nullptr)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("could not map dynamic shared memory segment")));
    dsm_pin_mapping(segment);

    *lock = &anchor->lock;
    return dsm_segment_address(segment);
}

}  // namespace fastcopy::pg
