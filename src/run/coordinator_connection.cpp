#include "run/coordinator_connection.hpp"

#include "pg/wait.hpp"
#include "run/marker_wait.hpp"
#include "run/retry.hpp"
#include "run/snapshot.hpp"

namespace fastcopy::run {

namespace {

// How long the end of a connection may take to arrive after a worker has seen its effect.
constexpr long last_words_ms = 1000;

// Closes the connection to the source, and asks a worker to export the snapshot again.
void give_up_connection(RunningJob *job, ErrorData *why) {
    pg::report_caught(
        LOG, why,
        psprintf("fastcopy job " INT64_FORMAT " has lost its coordinator's connection",
                 job->area->job));
    if (job->connection != nullptr)
        source::close(job->connection);
    job->connection = nullptr;
    job->loss = why;
    job->losses++;
    snapshot::want(job->area);
}

// Whether the job may lose another connection. Progress resets the count of losses.
bool may_lose_connection(RunningJob *job) {
    uint32 done = pg_atomic_read_u32(&job->slot->chunks_done);
    if (done != job->done_at_loss)
        job->losses = 0;
    job->done_at_loss = done;
    return job->losses < job->request.retry_limit;
}

// Accepts that the connection is lost: the source has reported to a worker that it does not have
// the snapshot.
void accept_loss(RunningJob *job) {
    MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
    auto *error = static_cast<ErrorData *>(palloc0(sizeof(ErrorData)));
    error->sqlerrcode = ERRCODE_CONNECTION_FAILURE;
    error->message = pstrdup("the source no longer has the snapshot of the job");
    MemoryContextSwitchTo(old);
    if (!may_lose_connection(job))
        ereport(ERROR,
                (errcode(error->sqlerrcode), errmsg_internal("%s", error->message),
                 errhint("If the source is behind a load balancer, connect to one server.")));
    give_up_connection(job, error);
}

// By a coordinator whose snapshot a worker has found gone: waits for the reason to arrive, which says
// more than the worker knows. None comes if the worker has asked another server.
void hear_last_words(RunningJob *job) {
    TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), last_words_ms);
    while (long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline))
        source::listen(job->connection, left);
}

// Whether any worker's connection has the snapshot.
bool crew_holds_snapshot(RunningJob *job) {
    for (int i = 0; i < job->crew.count; i++) {
        job::WorkerSlot *slot = job::worker_slot(job->crew.members[i].slot.index);
        if (pg_atomic_read_u32(&slot->holds_snapshot) != 0)
            return true;
    }
    return false;
}

// Takes the snapshot over, once a worker has offered it.
void recover(RunningJob *job) {
    if (job->losses > 1)
        retry::back_off(job->request.retry_delay_ms, job->losses - 2);
    job->connection = connect_coordinator(job);
    snapshot::take_over(job->area, job->connection);
}

// Waits for the latch, or for the loss of the connection to the source.
void listen_to_source(RunningJob *job) {
    source::listen(job->connection, marker_wait::is_pending(job) ? marker_wait::look_every_ms : -1);
}

}  // namespace

source::Connection *connect_coordinator(RunningJob *job) {
    MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
    source::Connection *connection = source::connect(
        job->request, psprintf("fastcopy job " INT64_FORMAT " coordinator", job->area->job));
    MemoryContextSwitchTo(old);
    return connection;
}

void survive_loss(RunningJob *job, void (*step)(RunningJob *job)) {
    MemoryContext context = CurrentMemoryContext;
    PG_TRY();
    { step(job); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(TopMemoryContext);
        ErrorData *error = CopyErrorData();
        if (!retry::is_transient(error->sqlerrcode) || !may_lose_connection(job))
            PG_RE_THROW();
        FlushErrorState();
        pg::abort_transaction();  // of the ledger, if the step has begun one
        MemoryContextSwitchTo(context);
        give_up_connection(job, error);
    }
    PG_END_TRY();
}

void wait_for_news(RunningJob *job) {
    if (job->connection != nullptr && snapshot::custody(job->area) == snapshot::Custody::wanted) {
        survive_loss(job, hear_last_words);
        if (job->connection != nullptr)
            accept_loss(job);
    }
    if (job->connection != nullptr)
        return survive_loss(job, listen_to_source);
    if (snapshot::custody(job->area) == snapshot::Custody::offered)
        return survive_loss(job, recover);
    if (!crew_holds_snapshot(job) &&
        pg_atomic_read_u32(&job->slot->chunks_done) < static_cast<uint32>(job->chunks))
        ereport(ERROR,
                (errcode(job->loss->sqlerrcode), errmsg_internal("%s", job->loss->message),
                 errdetail("%s%sNo connection is left that holds the snapshot of the source.",
                           job->loss->detail != nullptr ? job->loss->detail : "",
                           job->loss->detail != nullptr ? "\n" : ""),
                 errhint("Chunks that are done stay in the target: fastcopy.resume(" INT64_FORMAT
                         ") copies the others.",
                         job->area->job)));
    // No event is sent when the last worker loses its connection: poll.
    (void)pg::wait_latch(200);
}

}  // namespace fastcopy::run
