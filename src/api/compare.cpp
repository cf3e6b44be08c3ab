// fastcopy.compare: starts the workers of a comparison, waits for them, and returns the
// differences.
#include "api/arguments.hpp"
#include "api/sql_objects.hpp"
#include "api/waiting.hpp"
#include "compare/area.hpp"
#include "compare/worker.hpp"
#include "pg/background.hpp"
#include "pg/set_result.hpp"
#include "pg/wait.hpp"
#include "settings.hpp"
#include "source/search_path.hpp"

namespace fastcopy::api {

namespace {

using compare::Area;
using compare::Ranges;
using compare::source_side;
using compare::Tally;
using compare::target_side;

// The workers of a comparison, in the calling session.
struct Team {
    Area *area;
    const char *target_table;
    dsm_handle handle;
    int count;
    BackgroundWorkerHandle **members;
};

// Terminates all workers, on an error or at the session's end.
void dismiss(int, Datum argument) {
    auto *team = reinterpret_cast<Team *>(DatumGetPointer(argument));
    for (int i = 0; i < team->count; i++)
        TerminateBackgroundWorker(team->members[i]);
}

void wait_until_gone(Team *team) {
    for (int i = 0; i < team->count; i++)
        (void)WaitForBackgroundWorkerShutdown(team->members[i]);
}

// When all pieces are done: terminates workers that have not started. The others exit.
void dismiss_late(Team *team) {
    for (int i = 0; i < team->count; i++) {
        pid_t pid;
        if (GetBackgroundWorkerPid(team->members[i], &pid) == BGWH_NOT_YET_STARTED)
            TerminateBackgroundWorker(team->members[i]);
    }
}

void grow(Team *team, int wanted) {
    while (team->count < wanted &&
           compare::launch_worker(team->handle, team->count, &team->members[team->count]))
        team->count++;
}

bool is_planned(Area *area) {
    bool planned =
        pg_atomic_read_u32(&area->stage) != static_cast<uint32>(compare::Stage::planning);
    pg_read_barrier();
    return planned;
}

bool is_done(Area *area) {
    bool done = is_planned(area) && pg_atomic_read_u32(&area->pieces_done) ==
                                        area->pieces[source_side] + area->pieces[target_side];
    pg_read_barrier();
    return done;
}

// True if a worker has stopped without having finished.
bool has_lost_one(Team *team) {
    for (int i = 0; i < team->count; i++) {
        pid_t pid;
        if (GetBackgroundWorkerPid(team->members[i], &pid) == BGWH_STOPPED &&
            pg_atomic_read_u32(&team->area->results[i].finished) == 0)
            return true;
    }
    return false;
}

bool blocks_a_worker(Team *team) {
    for (int i = 0; i < team->count; i++) {
        pid_t pid;
        if (GetBackgroundWorkerPid(team->members[i], &pid) == BGWH_STARTED && waits_for_me(pid))
            return true;
    }
    return false;
}

// Waits for news; checks from time to time whether this session blocks a worker.
void wait_for_news(Team *team) {
    if (!pg::wait_latch(look_every_ms) && blocks_a_worker(team))
        raise_blocked_comparison(team->target_table);
}

// Waits until `reached`; false if the comparison has failed.
bool wait_until(Team *team, bool (*reached)(Area *area)) {
    for (;;) {
        if (reached(team->area))
            return true;
        if (pg::is_complete(&team->area->error))
            return false;
        // Check again: it may have got there just before it stopped.
        if (has_lost_one(team) && !reached(team->area))
            return false;
        wait_for_news(team);
    }
}

// Launches the leader, then as many others as there are pieces for. False if the comparison has
// failed.
bool run_team(Team *team, int workers, compare::Plan *plan) {
    grow(team, 1);
    if (team->count == 0)
        pg::raise_no_worker_slot();
    if (!wait_until(team, is_planned))
        return false;
    // The plan lives as long as the leader: without it, the leader has failed.
    if (!compare::read_plan(team->area->plan, plan))
        return false;
    pg_atomic_write_u32(&team->area->stage, static_cast<uint32>(compare::Stage::known));
    SetLatch(team->area->leader_latch);
    auto pieces =
        static_cast<int>(Max(team->area->pieces[source_side], team->area->pieces[target_side]));
    int useful = Min(workers, Max(pieces, 1));
    grow(team, useful);
    if (team->count < useful)
        pg::warn_of_fewer_workers(team->count, workers);
    return wait_until(team, is_done);
}

[[noreturn]] void raise_failure(Area *area) {
    if (pg::is_complete(&area->error))
        pg::raise(&area->error, ERROR);
    ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
                    errmsg("a fastcopy compare worker ended unexpectedly"),
                    errhint("The server log may say why.")));
}

// Adds up the workers' tallies of a range on one side.
void add_up(const Area *area, int side, int range, Tally *total) {
    for (uint32 i = 0; i < area->workers; i++) {
        const Tally &tally = area->results[i].tallies[side][range];
        total->rows += tally.rows;
        for (int s = 0; s < 2; s++)
            total->sums[s] = core::add(total->sums[s], tally.sums[s]);
    }
}

bool are_equal(const Tally &a, const Tally &b) {
    return a.rows == b.rows && a.sums[0] == b.sums[0] && a.sums[1] == b.sums[1];
}

// The checksum as text, with the second sum if there is one.
Datum checksum(const Tally &tally, int sums) {
    char digits[2 * core::sum_digits + 1];
    for (int i = 0; i < sums; i++)
        core::format_sum(tally.sums[i], std::span<char, core::sum_digits>(
                                            digits + i * core::sum_digits, core::sum_digits));
    digits[sums * core::sum_digits] = '\0';
    return CStringGetTextDatum(digits);
}

void put_row(ReturnSetInfo *result, const char *range, const char *lower, const char *upper,
             const Tally *sides, int sums, bool differs) {
    Datum values[] = {
        CStringGetTextDatum(range),
        lower != nullptr ? CStringGetTextDatum(lower) : Datum{0},
        upper != nullptr ? CStringGetTextDatum(upper) : Datum{0},
        Int64GetDatum(static_cast<int64>(sides[source_side].rows)),
        Int64GetDatum(static_cast<int64>(sides[target_side].rows)),
        checksum(sides[source_side], sums),
        checksum(sides[target_side], sums),
        BoolGetDatum(differs),
    };
    bool nulls[lengthof(values)] = {false, lower == nullptr, upper == nullptr};
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

// Warns if the number of rows by the table's name is not the sum of its pieces: the comparison
// cannot be trusted then. The total shows the rows by the name.
bool check_total(const Area *area, const compare::Plan &plan, int side, const char *table,
                 Tally *total) {
    if (!plan.sides[side].counted)
        return true;
    uint64 by_name = 0;
    for (uint32 i = 0; i < area->workers; i++)
        by_name += area->results[i].totals[side];
    if (by_name == total->rows)
        return true;
    ereport(WARNING,
            (errcode(ERRCODE_DATA_CORRUPTED),
             side == source_side
                 ? errmsg("parts of source table \"%s\" do not add up to the table", table)
                 : errmsg("parts of target table \"%s\" do not add up to the table", table),
             errdetail("A count of the table gives " UINT64_FORMAT
                       " rows, its parts have " UINT64_FORMAT ".",
                       by_name, total->rows),
             errhint("If nobody has written to it meanwhile, report this as a bug.")));
    total->rows = by_name;
    return false;
}

// Returns a row per range that differs, and the total.
void put_differences(ReturnSetInfo *result, const Area *area, const compare::Plan &plan,
                     const job::Request &request) {
    Tally total[2] = {};
    bool any = false;
    for (int range = 0; range < compare::count(plan.ranges); range++) {
        Tally sides[2] = {};
        for (int side : {source_side, target_side}) {
            add_up(area, side, range, &sides[side]);
            add_up(area, side, range, &total[side]);
        }
        if (are_equal(sides[source_side], sides[target_side]))
            continue;
        any = true;
        put_row(result, compare::describe(plan.ranges, range),
                compare::lower_bound(plan.ranges, range), compare::upper_bound(plan.ranges, range),
                sides, plan.sums, true);
    }
    for (int side : {source_side, target_side}) {
        const char *table = side == source_side ? request.only_table().source_table
                                                : request.only_table().target_table;
        any = !check_total(area, plan, side, table, &total[side]) || any;
    }
    put_row(result, "total", nullptr, nullptr, total, plan.sums, any);
}

// Whether a name was not found under an empty search_path, in an index expression, a view or the
// filter.
bool lacks_names(Area *area) {
    return pg::is_complete(&area->error) && source::is_unresolved_name(area->error.sqlerrcode);
}

// Runs a comparison. False, if `may_run_again`, when it has failed but may succeed under the
// search_path that the role has by default.
bool compare_once(const job::Request &request, ReturnSetInfo *result, bool may_run_again) {
    dsm_segment *segment = compare::create_area(request, pg::current_identity());
    Team team{};
    team.area = static_cast<Area *>(dsm_segment_address(segment));
    team.target_table = request.only_table().target_table;
    team.handle = dsm_segment_handle(segment);
    team.members = static_cast<BackgroundWorkerHandle **>(
        palloc(sizeof(BackgroundWorkerHandle *) * request.workers));
    compare::Plan plan;
    bool done = false;
    PG_ENSURE_ERROR_CLEANUP(dismiss, PointerGetDatum(&team));
    {
        done = run_team(&team, request.workers, &plan);
        if (done)
            dismiss_late(&team);
        else
            dismiss(0, PointerGetDatum(&team));
        wait_until_gone(&team);
        if (!done && !(may_run_again && lacks_names(team.area)))
            raise_failure(team.area);
        if (done)
            put_differences(result, team.area, plan, request);
    }
    PG_END_ENSURE_ERROR_CLEANUP(dismiss, PointerGetDatum(&team));
    dsm_detach(segment);
    return done;
}

}  // namespace
}  // namespace fastcopy::api

using namespace fastcopy;
using namespace fastcopy::api;

extern "C" {

PG_FUNCTION_INFO_V1(fastcopy_compare);

// fastcopy.compare(source text, source_table text, target_table text, workers integer, key text,
//                  filter text, columns text[], source_encoding text)
// → a row per range that differs, and the total
PGDLLEXPORT Datum fastcopy_compare(PG_FUNCTION_ARGS) {
    check_sql_objects();
    ReturnSetInfo *result = pg::begin_set(fcinfo);
    job::Request request = read_table_arguments(fcinfo);
    request.source_encoding = encoding_argument(fcinfo, 7, "source_encoding");
    request.chunk_size_kb = settings::chunk_size_kb;

    if (!compare_once(request, result, true)) {
        request.own_search_path = true;
        (void)compare_once(request, result, false);
    }
    return Datum{0};
}
}
