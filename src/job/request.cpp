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
void visit(Archive &archive, Table &table) {
    archive.text(table.source_table);
    archive.text(table.target_table);
    archive.value(table.target);
    archive.text(table.key);
    archive.text(table.filter);
    archive.value(table.ncolumns);
    archive.texts(table.columns, table.ncolumns);
}

template <typename Archive>
void visit(Archive &archive, Request &request) {
    archive.text(request.source);
    archive.text(request.safe_source);
    archive.value(request.ntables);
    archive.elements(request.tables, request.ntables);
    for (int i = 0; i < request.ntables; i++)
        visit(archive, request.tables[i]);
    archive.value(request.clone);
    archive.value(request.include_count);
    archive.texts(request.include, request.include_count);
    archive.value(request.exclude_count);
    archive.texts(request.exclude, request.exclude_count);
    archive.value(request.filter_count);
    archive.texts(request.filtered, request.filter_count);
    archive.texts(request.filters, request.filter_count);
    archive.value(request.create);
    archive.value(request.owners);
    archive.value(request.privileges);
    archive.value(request.workers);
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

const char *name_of_targets(const Request &request) {
    return request.clone ? _("the job's tables") : request.only_table().target_table;
}

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
