#include "job/area.hpp"

#include "job/registry.hpp"
#include "pg/shmem.hpp"

namespace fastcopy::job {

dsm_segment *create_area(const Request &request, const pg::Identity &identity) {
    StringInfoData bytes;
    initStringInfo(&bytes);
    pack_request(&bytes, request);
    dsm_segment *segment = dsm_create(offsetof(Area, request) + bytes.len, 0);
    auto *area = static_cast<Area *>(dsm_segment_address(segment));
    area->identity = identity;
    area->caller_latch = MyLatch;
    pg_atomic_init_u32(&area->answer, static_cast<uint32>(Answer::pending));
    pg_atomic_init_u32(&area->gate, static_cast<uint32>(Gate::shut));
    area->job = 0;
    area->workers_launched = 0;
    area->done_before = 0;
    area->filtered = false;
    area->stores_elsewhere = false;
    area->notice[0] = '\0';
    area->no_common_snapshot = false;
    area->snapshot[0] = '\0';
    area->lock_statement[0] = '\0';
    pg_atomic_init_u32(&area->snapshot_custody, 0);
    pg_atomic_init_u32(&area->marker_pending, 0);
    pg_atomic_init_u32(&area->search_path, 0);
    pg_atomic_init_u32(&area->lock_waited_for, 0);
    pg::init(&area->error);
    area->request_size = bytes.len;
    area->request_wiped = false;
    memcpy(area->request, bytes.data, bytes.len);

    explicit_bzero(bytes.data, bytes.len);
    pfree(bytes.data);
    return segment;
}

Area *attach_area(dsm_handle handle) {
    dsm_segment *segment = pg::map_segment(handle);
    return segment != nullptr ? static_cast<Area *>(dsm_segment_address(segment)) : nullptr;
}

void wipe_request(Area *area) {
    lock_registry(LW_EXCLUSIVE);
    explicit_bzero(area->request, area->request_size);
    area->request_wiped = true;
    unlock_registry();
}

Request read_request(const Area *area) {
    auto *bytes = static_cast<char *>(palloc(area->request_size));
    lock_registry(LW_SHARED);
    bool wiped = area->request_wiped;
    memcpy(bytes, area->request, area->request_size);
    unlock_registry();
    if (wiped)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("the job has ended")));
    Request request = unpack_request(bytes);
    explicit_bzero(bytes, area->request_size);
    pfree(bytes);
    return request;
}

}  // namespace fastcopy::job
