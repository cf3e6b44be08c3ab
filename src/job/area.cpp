#include "job/area.hpp"

namespace fastcopy::job {

namespace {

// Strings go in as a presence byte and a C string; numbers as their bytes.
void put_string(StringInfo out, const char *text) {
    appendStringInfoChar(out, text != nullptr ? 1 : 0);
    if (text != nullptr)
        appendBinaryStringInfo(out, text, static_cast<int>(strlen(text)) + 1);
}

template <typename Value>
void put(StringInfo out, Value value) {
    appendBinaryStringInfo(out, reinterpret_cast<const char *>(&value), sizeof(value));
}

const char *get_string(const char **in) {
    if (*(*in)++ == 0)
        return nullptr;
    const char *text = pstrdup(*in);
    *in += strlen(text) + 1;
    return text;
}

template <typename Value>
Value get(const char **in) {
    Value value;
    memcpy(&value, *in, sizeof(value));
    *in += sizeof(value);
    return value;
}

}  // namespace

dsm_segment *create_area(const Request &request, const pg::Identity &identity) {
    StringInfoData bytes;
    initStringInfo(&bytes);
    put_string(&bytes, request.source);
    put_string(&bytes, request.safe_source);
    put_string(&bytes, request.source_table);
    put_string(&bytes, request.target_table);
    put(&bytes, request.target);
    put(&bytes, request.workers);
    put_string(&bytes, request.key);
    put_string(&bytes, request.filter);
    put(&bytes, request.ncolumns);
    for (int i = 0; i < request.ncolumns; i++)
        put_string(&bytes, request.columns[i]);
    put(&bytes, request.truncate);
    put(&bytes, request.rebuild_indexes);
    put(&bytes, request.triggers);
    put(&bytes, request.statistics);
    put(&bytes, request.chunk_size_kb);
    put(&bytes, request.lz4_toast);
    put(&bytes, request.password_required);
    put(&bytes, request.retry_limit);
    put(&bytes, request.retry_delay_ms);
    put(&bytes, request.maintenance_work_mem_kb);
    put(&bytes, request.max_parallel_maintenance_workers);
    put(&bytes, request.resumed_job);
    put(&bytes, request.accept_changes);

    dsm_segment *segment = dsm_create(offsetof(Area, request) + bytes.len, 0);
    auto *area = static_cast<Area *>(dsm_segment_address(segment));
    area->identity = identity;
    area->caller_latch = MyLatch;
    pg_atomic_init_u32(&area->answer, static_cast<uint32>(Answer::pending));
    pg_atomic_init_u32(&area->gate, static_cast<uint32>(Gate::shut));
    area->job = 0;
    area->workers_launched = 0;
    area->snapshot[0] = '\0';
    pg_atomic_init_u32(&area->snapshot_custody, 0);
    pg::init(&area->error);
    area->request_size = bytes.len;
    memcpy(area->request, bytes.data, bytes.len);

    explicit_bzero(bytes.data, bytes.len);
    pfree(bytes.data);
    return segment;
}

Area *attach_area(dsm_handle handle) {
    dsm_segment *segment = dsm_attach(handle);
    if (segment == nullptr)
        return nullptr;
    dsm_pin_mapping(segment);
    return static_cast<Area *>(dsm_segment_address(segment));
}

void wipe_request(Area *area) noexcept {
    explicit_bzero(area->request, area->request_size);
    area->request_size = 0;
}

Request read_request(const Area *area) {
    if (area->request_size == 0)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("the job has ended")));
    const char *in = area->request;
    Request request;
    request.source = get_string(&in);
    request.safe_source = get_string(&in);
    request.source_table = get_string(&in);
    request.target_table = get_string(&in);
    request.target = get<Oid>(&in);
    request.workers = get<int>(&in);
    request.key = get_string(&in);
    request.filter = get_string(&in);
    request.ncolumns = get<int>(&in);
    request.columns = nullptr;
    if (request.ncolumns >= 0) {
        request.columns =
            static_cast<const char **>(palloc(sizeof(char *) * Max(request.ncolumns, 1)));
        for (int i = 0; i < request.ncolumns; i++)
            request.columns[i] = get_string(&in);
    }
    request.truncate = get<bool>(&in);
    request.rebuild_indexes = get<bool>(&in);
    request.triggers = get<bool>(&in);
    request.statistics = get<bool>(&in);
    request.chunk_size_kb = get<int>(&in);
    request.lz4_toast = get<bool>(&in);
    request.password_required = get<bool>(&in);
    request.retry_limit = get<int>(&in);
    request.retry_delay_ms = get<int>(&in);
    request.maintenance_work_mem_kb = get<int>(&in);
    request.max_parallel_maintenance_workers = get<int>(&in);
    request.resumed_job = get<int64>(&in);
    request.accept_changes = get<bool>(&in);
    return request;
}

}  // namespace fastcopy::job
