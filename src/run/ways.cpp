#include "run/ways.hpp"

#include "job/ledger_ways.hpp"
#include "sink/target.hpp"

namespace fastcopy::run {

namespace {

double ms_since(instr_time begin) {
    instr_time now;
    INSTR_TIME_SET_CURRENT(now);
    INSTR_TIME_SUBTRACT(now, begin);
    return INSTR_TIME_GET_MILLISEC(now);
}

constexpr const char *name_of(const plan::Reader &reader) {
    return reader.by_table ? "table" : "leaves";
}

}  // namespace

plan::Reader choose_reader(const RunningJob *job, const job::Table &request,
                           const plan::SourceTable &table, const plan::RowShape &shape,
                           plan::Leaves *leaves) {
    instr_time begin;
    INSTR_TIME_SET_CURRENT(begin);
    plan::Reader reader = plan::choose_reader(job->connection, table, shape, leaves);
    elog(DEBUG1, "rows of %s are read by %s: %s (%.3f ms)", request.source_table, name_of(reader),
         reader.reason, ms_since(begin));
    return reader;
}

sink::Writer choose_writer(const RunningJob *job, const job::Table &request, Relation target,
                           const plan::RowShape &shape) {
    instr_time begin;
    INSTR_TIME_SET_CURRENT(begin);
    sink::Writer writer = sink::choose_writer(target, shape.ncolumns, shape.columns);
    elog(DEBUG1, "rows of %s are written by %s: %s (%.3f ms)", request.target_table,
         sink::name_of(writer.way), writer.reason, ms_since(begin));
    if (job->request.rebuild_indexes && writer.by_engine)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("cannot rebuild the indexes of \"%s\"", request.target_table),
                        errdetail("An engine other than PostgreSQL's own keeps the table: %s.",
                                  writer.reason),
                        errhint("Leave indexes at 'keep'.")));
    return writer;
}

bool is_small(const RunningJob *job, const plan::Reader &reader, const plan::Leaves &leaves,
              Relation target, const sink::Writer &writer) {
    constexpr uint64 most_bytes = 256 * 1024;
    return job->request.clone && job->request.ntables > 1 && !reader.by_table &&
           leaves.count == 1 && leaves.leaves[0].is_heap && !leaves.leaves[0].by_name &&
           plan::size_of(leaves) <= most_bytes && target->rd_rel->relkind == RELKIND_RELATION &&
           writer.way == sink::Way::copy && !writer.by_engine && !sink::has_insert_trigger(target);
}

void check_ways(const RunningJob *job, int table, const plan::Leaves &leaves) {
    int count;
    const char **relations = job::ledger::read_only_relations(job->area->job, table + 1, &count);
    for (int i = 0; i < count; i++) {
        bool found = false;
        for (int j = 0; j < leaves.count && !found; j++)
            found = !leaves.leaves[j].by_name && strcmp(leaves.leaves[j].name, relations[i]) == 0;
        if (!found)
            ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                            errmsg("rows of %s are no longer kept where the job was to read them",
                                   relations[i]),
                            errdetail("It is no longer a part of source table \"%s\", or an engine "
                                      "has compressed or distributed it.",
                                      job->request.tables[table].source_table),
                            errhint("Start over with truncate => true.")));
    }
}

job::ledger::Ways take_ways(RunningJob *job, const plan::Reader *reader,
                            const sink::Writer &writer) {
    job::ledger::Ways ways{};
    ways.writer = sink::name_of(writer.way);
    ways.writer_reason = writer.reason;
    if (reader != nullptr) {
        ways.reader = name_of(*reader);
        ways.reader_reason = reader->reason;
        if (reader->no_common_snapshot) {
            job->area->no_common_snapshot = true;
            ways.warning = job::no_common_snapshot;
        }
    }
    return ways;
}

}  // namespace fastcopy::run
