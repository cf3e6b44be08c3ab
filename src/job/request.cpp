#include "job/request.hpp"

#include "pg/packing.hpp"

namespace fastcopy::job {

namespace {

template <typename Archive>
void visit(Archive &archive, pg::Setting &setting) {
    archive.text(setting.name);
    archive.text(setting.value);
    archive.value(setting.context);
    archive.value(setting.role);
}

template <typename Archive>
void visit(Archive &archive, Request &request) {
    archive.text(request.source);
    archive.text(request.safe_source);
    archive.text(request.source_table);
    archive.text(request.target_table);
    archive.value(request.target);
    archive.value(request.workers);
    archive.text(request.key);
    archive.text(request.filter);
    archive.value(request.ncolumns);
    archive.texts(request.columns, request.ncolumns);
    archive.value(request.truncate);
    archive.value(request.rebuild_indexes);
    archive.value(request.triggers);
    archive.value(request.statistics);
    archive.text(request.source_encoding);
    archive.value(request.sequences);
    archive.value(request.foreign_keys);
    archive.value(request.chunk_size_kb);
    archive.value(request.lz4_toast);
    archive.value(request.password_required);
    archive.value(request.retry_limit);
    archive.value(request.retry_delay_ms);
    archive.value(request.maintenance_work_mem_kb);
    archive.value(request.max_parallel_maintenance_workers);
    archive.value(request.settings.count);
    archive.elements(request.settings.settings, request.settings.count);
    for (int i = 0; i < request.settings.count; i++)
        visit(archive, request.settings.settings[i]);
    archive.value(request.settings.libraries_size);
    archive.bytes(request.settings.libraries, request.settings.libraries_size);
    archive.value(request.own_search_path);
    archive.value(request.sync);
    archive.value(request.rescan);
    archive.value(request.wait_for_turn);
    archive.value(request.resumed_job);
    archive.value(request.accept_changes);
}

}  // namespace

void pack_request(StringInfo bytes, const Request &request) {
    pg::Packer packer{bytes};
    visit(packer, const_cast<Request &>(request));
}

Request unpack_request(const char *in) {
    Request request{};
    pg::Unpacker unpacker{in};
    visit(unpacker, request);
    return request;
}

}  // namespace fastcopy::job
