#include "compare/worker.hpp"

#include "compare/leader.hpp"
#include "compare/session.hpp"
#include "compare/target_pieces.hpp"
#include "core/answer_text.hpp"
#include "pg/background.hpp"
#include "pg/wait.hpp"
#include "source/search_path.hpp"
#include "source/session.hpp"

namespace fastcopy::compare {

namespace {

constexpr int32 no_chunk = 0;
constexpr uint32 none = PG_UINT32_MAX;

struct Worker {
    Area *area;
    int number;
    Results *results;
    job::Request request;
    source::Connection *connection;
    Plan plan;
};

// This process.
Worker self;
// The caller raises the error; the server log needs no copy of it.
constexpr bool logs_errors = false;

// The next piece of a side, or none.
uint32 claim(Worker *worker, int side) {
    pg_atomic_uint32 *next = &worker->area->next[side];
    if (pg_atomic_read_u32(next) >= worker->area->pieces[side])
        return none;
    uint32 piece = pg_atomic_fetch_add_u32(next, 1);
    return piece < worker->area->pieces[side] ? piece : none;
}

int64 to_count(const char *text) {
    auto count = core::parse_number<int64>(text);
    if (!count || *count < 0)
        source::raise_odd_answer("The source returned an invalid row count.");
    return *count;
}

// Adds a row of an answer: a range, its number of rows, and one sum of hashes or two.
void add(Worker *worker, int side, const char *range, const char *rows, const char *const *sums) {
    int ranges = count(worker->plan.ranges);
    int64 number = range != nullptr ? to_count(range) : ranges - 1;
    if (number >= ranges)
        source::raise_odd_answer("The source returned a range that was not requested.");
    Tally *tally = &worker->results->tallies[side][number];
    tally->rows += static_cast<uint64>(to_count(rows));
    for (int i = 0; i < worker->plan.sums; i++) {
        core::Sum sum{};
        if (!core::parse_sum(sums[i], &sum))
            source::raise_odd_answer("The source returned an invalid sum.");
        tally->sums[i] = core::add(tally->sums[i], sum);
    }
}

void set_total(Worker *worker, int side, const char *rows) {
    worker->results->totals[side] = static_cast<uint64>(to_count(rows));
}

void add_answer(Worker *worker, const Piece &piece, const source::Rows &answer) {
    if (piece.total)
        return set_total(worker, source_side, answer.at(0, 0));
    for (int row = 0; row < answer.count; row++) {
        const char *sums[2] = {answer.at(row, 2),
                               worker->plan.sums > 1 ? answer.at(row, 3) : nullptr};
        add(worker, source_side, answer.at_or_null(row, 0), answer.at(row, 1), sums);
    }
}

// Runs the query of a piece of the target, by the snapshot of this transaction.
void read_target(Worker *worker, uint32 piece) {
    const Side &side = worker->plan.sides[target_side];
    allow_sequential_scans_here(side.pieces[piece].whole);
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
    const char *sql = query_of(side, static_cast<int>(piece));
    int code = SPI_execute(sql, true, 0);
    if (code != SPI_OK_SELECT)
        elog(ERROR, "%s: %s", sql, SPI_result_code_string(code));
    TupleDesc tupdesc = SPI_tuptable->tupdesc;
    if (side.pieces[piece].total && SPI_processed == 1)
        set_total(worker, target_side, SPI_getvalue(SPI_tuptable->vals[0], tupdesc, 1));
    for (uint64 row = 0; row < SPI_processed && !side.pieces[piece].total; row++) {
        HeapTuple tuple = SPI_tuptable->vals[row];
        const char *sums[2] = {SPI_getvalue(tuple, tupdesc, 3),
                               worker->plan.sums > 1 ? SPI_getvalue(tuple, tupdesc, 4) : nullptr};
        add(worker, target_side, SPI_getvalue(tuple, tupdesc, 1), SPI_getvalue(tuple, tupdesc, 2),
            sums);
    }
    SPI_finish();
}

void note_done(Worker *worker, uint32 pieces) {
    Area *area = worker->area;
    pg_write_barrier();
    uint32 done = pg_atomic_add_fetch_u32(&area->pieces_done, static_cast<int32>(pieces));
    if (done < area->pieces[source_side] + area->pieces[target_side])
        return;
    SetLatch(area->leader_latch);
    SetLatch(area->caller_latch);
}

// Reads a piece of each side at the same time, as far as pieces are left.
void read_pieces(Worker *worker, uint32 source_piece, uint32 target_piece) {
    const Side &source = worker->plan.sides[source_side];
    const char *sql = nullptr;
    if (source_piece != none) {
        sql = psprintf("SET enable_seqscan = %s; %s",
                       source.pieces[source_piece].whole ? "on" : "off",
                       query_of(source, static_cast<int>(source_piece)));
        source::send(worker->connection, sql);
    }
    if (target_piece != none)
        read_target(worker, target_piece);
    if (source_piece != none)
        add_answer(worker, source.pieces[source_piece], source::collect(worker->connection, sql));
    note_done(worker, (source_piece != none ? 1 : 0) + (target_piece != none ? 1 : 0));
}

void connect(Worker *worker) {
    worker->connection =
        source::connect(worker->request, psprintf("fastcopy compare worker %d", worker->number));
}

// Sets the search_path for the pieces, which do not query catalogs.
void use_search_path(Worker *worker) {
    if (worker->request.own_search_path)
        source::use_own_search_path(worker->connection);
}

void start_as_leader(Worker *worker) {
    pg::begin_reading(worker->area->identity);
    connect(worker);
    worker->connection->own_search_path = worker->request.own_search_path;
    worker->plan = lead(worker->area, worker->request, worker->connection);
    use_search_path(worker);
    Area *area = worker->area;
    area->leader_latch = MyLatch;
    area->pieces[source_side] = static_cast<uint32>(worker->plan.sides[source_side].count);
    area->pieces[target_side] = static_cast<uint32>(worker->plan.sides[target_side].count);
    area->plan = publish_plan(worker->plan);
    pg_write_barrier();
    pg_atomic_write_u32(&area->stage, static_cast<uint32>(Stage::planned));
    SetLatch(area->caller_latch);
}

// Waits until the leader has recorded its error.
void wait_for_leaders_error(Area *area) {
    constexpr int longest_wait_ms = 3000;
    constexpr int look_every_ms = 20;
    TimestampTz since = GetCurrentTimestamp();
    while (!pg::is_complete(&area->error) &&
           !TimestampDifferenceExceeds(since, GetCurrentTimestamp(), longest_wait_ms))
        (void)pg::wait_latch(look_every_ms);
}

// Imports the leader's snapshot of the source. If a query of the leader fails, its snapshot ceases
// to exist on the source before the leader has read the error: report that error then, not the
// missing snapshot, which is its consequence.
void import_source_snapshot(Worker *worker) {
    MemoryContext context = CurrentMemoryContext;
    PG_TRY();
    {
        (void)source::query(worker->connection,
                            psprintf("SET TRANSACTION SNAPSHOT %s",
                                     quote_literal_cstr(worker->area->snapshots[source_side])));
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        FlushErrorState();
        if (source::is_missing_snapshot(error->sqlerrcode))
            wait_for_leaders_error(worker->area);
        ReThrowError(error);
    }
    PG_END_TRY();
}

// Imports the leader's snapshots of both sides.
void join(Worker *worker) {
    pg::begin_reading(worker->area->identity);
    pg::take_snapshot(worker->area->snapshots[target_side]);
    // The leader stays while pieces are claimed: if it has exited, there is an error already.
    if (!read_plan(worker->area->plan, &worker->plan))
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("the comparison has ended")));
    connect(worker);
    source::begin(worker->connection);
    import_source_snapshot(worker);
    source::normalize_for_comparison(worker->connection);
    source::notice_vanished_client(worker->connection);
    set_float_digits(worker->connection, worker->plan.extra_float_digits);
    use_search_path(worker);
}

// Holds the snapshots and the plan until no process can need them any more. If the source's
// snapshot goes with the connection meanwhile, that is the error to report.
void wait_for_others(Worker *worker) {
    Area *area = worker->area;
    uint32 pieces = area->pieces[source_side] + area->pieces[target_side];
    while (pg_atomic_read_u32(&area->pieces_done) < pieces ||
           pg_atomic_read_u32(&area->stage) != static_cast<uint32>(Stage::known))
        source::listen(worker->connection, -1);
}

void work(Worker *worker) {
    pg::show_activity(psprintf("fastcopy compare worker %d", worker->number),
                      psprintf("comparing %s", worker->request.only_table().target_table));
    normalize_here(worker->request.own_search_path);
    if (worker->number == 0)
        start_as_leader(worker);
    MemoryContext per_piece =
        AllocSetContextCreate(CurrentMemoryContext, "fastcopy piece", ALLOCSET_DEFAULT_SIZES);
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        uint32 source_piece = claim(worker, source_side);
        uint32 target_piece = claim(worker, target_side);
        if (source_piece == none && target_piece == none)
            break;
        if (worker->connection == nullptr)
            join(worker);
        MemoryContext old = MemoryContextSwitchTo(per_piece);
        read_pieces(worker, source_piece, target_piece);
        MemoryContextSwitchTo(old);
        MemoryContextReset(per_piece);
    }
    if (worker->number == 0)
        wait_for_others(worker);
    if (worker->connection != nullptr) {
        source::close(worker->connection);
        pg::commit_transaction();
    }
}

void run_worker() {
    self.request = read_request(self.area);
    work(&self);
    pg_atomic_write_u32(&self.results->finished, 1);
}

}  // namespace

bool launch_worker(dsm_handle area, int number, BackgroundWorkerHandle **handle) {
    Datum argument = UInt64GetDatum(static_cast<uint64>(area) << 32 | static_cast<uint32>(number));
    // ConsistentState: a standby can be compared too.
    return pg::launch(worker_type, psprintf("%s %d", worker_type, number), "fastcopy_compare_main",
                      argument, BgWorkerStart_ConsistentState, handle);
}

}  // namespace fastcopy::compare

void fastcopy_compare_main(Datum argument) {
    using namespace fastcopy;
    using namespace fastcopy::compare;

    pg::install_signal_handlers();
    Area *area = attach_area(static_cast<dsm_handle>(DatumGetUInt64(argument) >> 32));
    if (area == nullptr)
        return;
    self.area = area;
    self.number = static_cast<int>(static_cast<uint32>(DatumGetUInt64(argument)));
    self.results = &area->results[self.number];
    pg::Frame frame{.name = "fastcopy compare worker",
                    .identity = &area->identity,
                    .report = &area->error,
                    .chunk = &no_chunk,
                    .reports_terminations = true,
                    .logs_errors = &logs_errors};
    int sqlerrcode;
    if (!pg::guarded(frame, run_worker, &sqlerrcode))
        SetLatch(area->caller_latch);
}
