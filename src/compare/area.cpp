#include "compare/area.hpp"

#include "pg/shmem.hpp"

namespace fastcopy::compare {

namespace {

char *request_bytes(const Area *area) {
    return const_cast<char *>(reinterpret_cast<const char *>(&area->results[area->workers]));
}

// Called as a process unmaps the area. The last process wipes the password.
void leave(dsm_segment *, Datum argument) noexcept {
    auto *area = reinterpret_cast<Area *>(DatumGetPointer(argument));
    if (pg_atomic_sub_fetch_u32(&area->users, 1) == 0)
        explicit_bzero(request_bytes(area), area->request_size);
}

// Counts this process as a user, unless all users have left.
bool enter(Area *area) {
    uint32 users = pg_atomic_read_u32(&area->users);
    while (users > 0) {
        if (pg_atomic_compare_exchange_u32(&area->users, &users, users + 1))
            return true;
    }
    return false;
}

}  // namespace

dsm_segment *create_area(const job::Request &request, const pg::Identity &identity) {
    StringInfoData bytes;
    initStringInfo(&bytes);
    job::pack_request(&bytes, request);

    auto workers = static_cast<uint32>(request.workers);
    dsm_segment *segment =
        dsm_create(offsetof(Area, results) + sizeof(Results) * workers + bytes.len, 0);
    auto *area = static_cast<Area *>(dsm_segment_address(segment));
    memset(area, 0, offsetof(Area, results) + sizeof(Results) * workers);
    area->identity = identity;
    area->caller_latch = MyLatch;
    pg_atomic_init_u32(&area->users, 1);
    pg_atomic_init_u32(&area->stage, static_cast<uint32>(Stage::planning));
    pg_atomic_init_u32(&area->next[0], 0);
    pg_atomic_init_u32(&area->next[1], 0);
    pg_atomic_init_u32(&area->pieces_done, 0);
    pg::init(&area->error);
    area->workers = workers;
    for (uint32 i = 0; i < workers; i++)
        pg_atomic_init_u32(&area->results[i].finished, 0);
    area->request_size = bytes.len;
    memcpy(request_bytes(area), bytes.data, bytes.len);
    on_dsm_detach(segment, leave, PointerGetDatum(area));

    explicit_bzero(bytes.data, bytes.len);
    pfree(bytes.data);
    return segment;
}

Area *attach_area(dsm_handle handle) {
    dsm_segment *segment = pg::map_segment(handle);
    if (segment == nullptr)
        return nullptr;
    auto *area = static_cast<Area *>(dsm_segment_address(segment));
    if (!enter(area))
        return nullptr;
    on_dsm_detach(segment, leave, PointerGetDatum(area));
    return area;
}

job::Request read_request(const Area *area) {
    return job::unpack_request(request_bytes(area));
}

dsm_handle publish_plan(const Plan &plan) {
    StringInfoData bytes;
    initStringInfo(&bytes);
    pack(&bytes, plan);
    dsm_segment *segment = dsm_create(bytes.len, 0);
    dsm_pin_mapping(segment);
    memcpy(dsm_segment_address(segment), bytes.data, bytes.len);
    pfree(bytes.data);
    return dsm_segment_handle(segment);
}

bool read_plan(dsm_handle handle, Plan *plan) {
    dsm_segment *segment = dsm_attach(handle);
    if (segment == nullptr)
        return false;
    *plan = unpack(static_cast<const char *>(dsm_segment_address(segment)));
    dsm_detach(segment);
    return true;
}

}  // namespace fastcopy::compare
