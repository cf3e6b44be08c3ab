#include "run/ways.hpp"

#include "job/ledger_ways.hpp"

namespace fastcopy::run {

sink::Writer choose_writer(const RunningJob *job, Relation target, const plan::RowShape &shape) {
    sink::Writer writer = sink::choose_writer(target, shape.ncolumns, shape.columns);
    if (job->request.rebuild_indexes && writer.by_engine)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("cannot rebuild the indexes of \"%s\"", job->request.target_table),
                        errdetail("An engine other than PostgreSQL's own keeps the table: %s.",
                                  writer.reason),
                        errhint("Leave indexes at 'keep'.")));
    return writer;
}

void check_ways(const RunningJob *job, const plan::Leaves &leaves) {
    int count;
    const char **relations = job::ledger::read_only_relations(job->area->job, &count);
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
                                      job->request.source_table),
                            errhint("Start over with truncate => true.")));
    }
}

void note_ways(RunningJob *job, const plan::Reader *reader, const sink::Writer &writer) {
    job::ledger::Ways ways{};
    ways.writer = sink::name_of(writer.way);
    ways.writer_reason = writer.reason;
    if (reader != nullptr) {
        ways.reader = reader->by_table ? "table" : "leaves";
        ways.reader_reason = reader->reason;
        job->area->no_common_snapshot = reader->no_common_snapshot;
        if (reader->no_common_snapshot)
            ways.warning = job::no_common_snapshot;
        elog(DEBUG1, "rows of %s are read by %s: %s", job->request.source_table, ways.reader,
             ways.reader_reason);
    }
    elog(DEBUG1, "rows of %s are written by %s: %s", job->request.target_table, ways.writer,
         ways.writer_reason);
    job::ledger::note_ways(job->area->job, ways);
}

}  // namespace fastcopy::run
