#include "run/proof.hpp"

#include "sink/target_files.hpp"

namespace fastcopy::run::proof {

namespace {

[[noreturn]] void raise_unproved(int64 job, const char *detail) {
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                    errmsg("fastcopy job " INT64_FORMAT " has not copied all rows", job),
                    errdetail_internal("%s", detail),
                    errhint("This should not happen: please report it. Start over with truncate => "
                            "true.")));
}

}  // namespace

void check_targets(const job::ledger::ResumeState &former, Targets which) {
    for (int i = 0; i < former.ntables; i++) {
        const job::ledger::ResumeTable &table = former.tables[i];
        if (which == Targets::with_rows && table.chunks_done == 0)
            continue;
        if (former.unlogged_emptied && table.files.unlogged)
            sink::raise_rows_lost(table.target_table,
                                  _("The table is unlogged, and was emptied by crash recovery."));
        check_files(table, sink::read_files(table.target));
    }
}

void check_files(const job::ledger::ResumeTable &former, const job::TargetFiles &files) {
    if (sink::without(former.files, files).count > 0)
        sink::raise_files_lost(former.target_table);
}

void check_all(RunningJob *job) {
    int64 id = job->area->job;
    job::ledger::ResumeState now = job::ledger::read_resume_state(id);
    if (now.chunks_done != now.chunks)
        raise_unproved(id, psprintf("%d of its %d chunks are done.", now.chunks_done, now.chunks));
    if (now.chunks_short > 0)
        raise_unproved(id, psprintf("%d chunks have not stored as many rows as the source sent.",
                                    now.chunks_short));
    check_targets(now, Targets::all);
    if (!job::close_cancel(job->slot))
        raise_cancelled();
}

}  // namespace fastcopy::run::proof
