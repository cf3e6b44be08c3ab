#include "job/area.hpp"

#include "job/registry.hpp"
#include "pg/packing.hpp"

namespace fastcopy::job {

namespace {

void put_settings(StringInfo bytes, const pg::Settings &settings) {
    pg::put(bytes, settings.count);
    for (int i = 0; i < settings.count; i++) {
        const pg::Setting &setting = settings.settings[i];
        pg::put_string(bytes, setting.name);
        pg::put_string(bytes, setting.value);
        pg::put(bytes, setting.context);
        pg::put(bytes, setting.role);
    }
    pg::put(bytes, settings.libraries_size);
    appendBinaryStringInfo(bytes, settings.libraries, settings.libraries_size);
}

pg::Settings get_settings(const char **in) {
    pg::Settings settings{};
    settings.count = pg::get<int>(in);
    settings.settings =
        static_cast<pg::Setting *>(palloc(sizeof(pg::Setting) * Max(settings.count, 1)));
    for (int i = 0; i < settings.count; i++) {
        pg::Setting &setting = settings.settings[i];
        setting.name = pg::get_string(in);
        setting.value = pg::get_string(in);
        setting.context = pg::get<GucContext>(in);
        setting.role = pg::get<Oid>(in);
    }
    settings.libraries_size = pg::get<int>(in);
    auto *libraries = static_cast<char *>(palloc(Max(settings.libraries_size, 1)));
    memcpy(libraries, *in, settings.libraries_size);
    settings.libraries = libraries;
    *in += settings.libraries_size;
    return settings;
}

}  // namespace

void pack_request(StringInfo bytes, const Request &request) {
    pg::put_string(bytes, request.source);
    pg::put_string(bytes, request.safe_source);
    pg::put_string(bytes, request.source_table);
    pg::put_string(bytes, request.target_table);
    pg::put(bytes, request.target);
    pg::put(bytes, request.workers);
    pg::put_string(bytes, request.key);
    pg::put_string(bytes, request.filter);
    pg::put(bytes, request.ncolumns);
    for (int i = 0; i < request.ncolumns; i++)
        pg::put_string(bytes, request.columns[i]);
    pg::put(bytes, request.truncate);
    pg::put(bytes, request.rebuild_indexes);
    pg::put(bytes, request.triggers);
    pg::put(bytes, request.statistics);
    pg::put_string(bytes, request.source_encoding);
    pg::put(bytes, request.sequences);
    pg::put(bytes, request.foreign_keys);
    pg::put(bytes, request.chunk_size_kb);
    pg::put(bytes, request.lz4_toast);
    pg::put(bytes, request.password_required);
    pg::put(bytes, request.retry_limit);
    pg::put(bytes, request.retry_delay_ms);
    pg::put(bytes, request.maintenance_work_mem_kb);
    pg::put(bytes, request.max_parallel_maintenance_workers);
    put_settings(bytes, request.settings);
    pg::put(bytes, request.own_search_path);
    pg::put(bytes, request.resumed_job);
    pg::put(bytes, request.accept_changes);
}

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
    area->stores_elsewhere = false;
    area->notice[0] = '\0';
    area->no_common_snapshot = false;
    area->snapshot[0] = '\0';
    area->lock_statement[0] = '\0';
    pg_atomic_init_u32(&area->snapshot_custody, 0);
    pg_atomic_init_u32(&area->marker_pending, 0);
    pg_atomic_init_u32(&area->search_path, 0);
    pg::init(&area->error);
    area->request_size = bytes.len;
    area->request_wiped = false;
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
    lock_registry(LW_EXCLUSIVE);
    explicit_bzero(area->request, area->request_size);
    area->request_wiped = true;
    unlock_registry();
}

Request unpack_request(const char *in) {
    Request request;
    request.source = pg::get_string(&in);
    request.safe_source = pg::get_string(&in);
    request.source_table = pg::get_string(&in);
    request.target_table = pg::get_string(&in);
    request.target = pg::get<Oid>(&in);
    request.workers = pg::get<int>(&in);
    request.key = pg::get_string(&in);
    request.filter = pg::get_string(&in);
    request.ncolumns = pg::get<int>(&in);
    request.columns = nullptr;
    if (request.ncolumns >= 0) {
        request.columns =
            static_cast<const char **>(palloc(sizeof(char *) * Max(request.ncolumns, 1)));
        for (int i = 0; i < request.ncolumns; i++)
            request.columns[i] = pg::get_string(&in);
    }
    request.truncate = pg::get<bool>(&in);
    request.rebuild_indexes = pg::get<bool>(&in);
    request.triggers = pg::get<bool>(&in);
    request.statistics = pg::get<bool>(&in);
    request.source_encoding = pg::get_string(&in);
    request.sequences = pg::get<bool>(&in);
    request.foreign_keys = pg::get<bool>(&in);
    request.chunk_size_kb = pg::get<int>(&in);
    request.lz4_toast = pg::get<bool>(&in);
    request.password_required = pg::get<bool>(&in);
    request.retry_limit = pg::get<int>(&in);
    request.retry_delay_ms = pg::get<int>(&in);
    request.maintenance_work_mem_kb = pg::get<int>(&in);
    request.max_parallel_maintenance_workers = pg::get<int>(&in);
    request.settings = get_settings(&in);
    request.own_search_path = pg::get<bool>(&in);
    request.resumed_job = pg::get<int64>(&in);
    request.accept_changes = pg::get<bool>(&in);
    return request;
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
