#include "pg/shmem.hpp"

namespace fastcopy::pg {

dsm_segment *map_segment(dsm_handle handle) {
    dsm_segment *segment = dsm_attach(handle);
    if (segment != nullptr)
        dsm_pin_mapping(segment);
    return segment;
}

#if PG_VERSION_NUM >= 170000

namespace {

// Precedes the memory in the segment.
struct Header {
    LWLock lock;
};

constexpr Size header_size = CACHELINEALIGN(sizeof(Header));

const char *segment_name = nullptr;
void (*initialize_memory)(void *memory) = nullptr;

void init_lock(LWLock *lock) {
#if PG_VERSION_NUM >= 190000
    LWLockInitialize(lock, LWLockNewTrancheId(segment_name));
#else
    LWLockInitialize(lock, LWLockNewTrancheId());
#endif
}

void register_tranche(const LWLock *lock) {
#if PG_VERSION_NUM >= 190000
    (void)lock;  // names are in shared memory
#else
    LWLockRegisterTranche(lock->tranche, segment_name);
#endif
}

void init_segment(void *segment) {
    init_lock(&static_cast<Header *>(segment)->lock);
    initialize_memory(static_cast<char *>(segment) + header_size);
}

#if PG_VERSION_NUM >= 190000
void *find_segment(Size size) {
    bool found;
    return GetNamedDSMSegment(
        segment_name, size, [](void *segment, void *) { init_segment(segment); }, &found, nullptr);
}
#else
void *find_segment(Size size) {
    bool found;
    return GetNamedDSMSegment(segment_name, size, init_segment, &found);
}
#endif

}  // namespace

void *named_segment(const char *name, size_t size, void (*initialize)(void *memory),
                    LWLock **lock) {
    segment_name = name;
    initialize_memory = initialize;
    auto *header = static_cast<Header *>(find_segment(header_size + size));
    register_tranche(&header->lock);
    *lock = &header->lock;
    return reinterpret_cast<char *>(header) + header_size;
}

#else

namespace {

struct Anchor {
    LWLock lock;        // guards the handle, and what the segment's user says
    dsm_handle handle;  // DSM_HANDLE_INVALID until the segment is made
};

}  // namespace

void *named_segment(const char *name, size_t size, void (*initialize)(void *memory),
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

    // An error releases the lock and leaves the handle invalid: the next caller retries.
    dsm_segment *segment;
    LWLockAcquire(&anchor->lock, LW_EXCLUSIVE);
    if (anchor->handle == DSM_HANDLE_INVALID) {
        segment = dsm_create(size, 0);
        initialize(dsm_segment_address(segment));
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

#endif

}  // namespace fastcopy::pg
