#include "run/check.hpp"

#include <algorithm>

#include "pg/arrays.hpp"
#include "run/check_steps.hpp"
#include "run/prerequisites.hpp"
#include "source/conninfo.hpp"
#include "source/search_path.hpp"
#include "source/session.hpp"

namespace fastcopy::run {

namespace check {

const char *Check::oids() const {
    return OidOutputFunctionCall(F_ARRAY_OUT, pg::oid_array(listing.oids, request.ntables));
}

namespace {

using Step = void (*)(Check *check, int n);

constexpr const char *savepoint = "fastcopy_check";

// The error as a finding, in one line.
void add_error(Check *check, const char *object, const ErrorData *error) {
    char *finding = error->detail == nullptr ? pstrdup(error->message)
                                             : psprintf("%s: %s", error->message, error->detail);
    std::replace(finding, finding + strlen(finding), '\n', ' ');
    check->add(Severity::error, object, finding, error->hint);
}

// Whether an error ends the check: this session was canceled. The source may have errors of that kind of
// its own.
bool ends_check(const Check &check, const ErrorData *error) {
    return error->sqlerrcode == ERRCODE_QUERY_CANCELED &&
           (check.connection == nullptr || check.connection->last_error != error->sqlerrcode);
}

// Takes a step in a subtransaction, which is rolled back. False if an ERROR has ended it: a finding.
bool guard(Check *check, const char *object, Step step, int n) {
    MemoryContext context = CurrentMemoryContext;
    ResourceOwner owner = CurrentResourceOwner;
    ErrorData *volatile error = nullptr;
    if (check->connection != nullptr)
        check->connection->last_error = 0;
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(context);
    PG_TRY();
    { step(check, n); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        error = CopyErrorData();
        FlushErrorState();
    }
    PG_END_TRY();
    RollbackAndReleaseCurrentSubTransaction();
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = owner;
    if (error == nullptr)
        return true;
    if (ends_check(*check, error))
        ReThrowError(error);
    add_error(check, object, error);
    return false;
}

void set_savepoint(Check *check, int) {
    (void)source::query(check->connection, psprintf("SAVEPOINT %s", savepoint));
}

void roll_back(Check *check, int) {
    source::roll_back_to(check->connection, savepoint);
}

// Takes a step that may ask the source.
bool take(Check *check, const char *object, Step step, int n = 0) {
    if (check->lost)
        return false;
    bool in_transaction = check->in_transaction;
    if (in_transaction && !guard(check, on_source, set_savepoint, 0)) {
        check->lost = true;
        return false;
    }
    bool done = guard(check, object, step, n);
    if (in_transaction)
        check->lost = !guard(check, on_source, roll_back, 0);
    else if (!done && check->connection != nullptr)
        check->lost = PQstatus(check->connection->conn) != CONNECTION_OK;
    return done;
}

void connect(Check *check, int) {
    check->connection = source::connect(check->request, "fastcopy check");
}

void list(Check *check, int) {
    check->listing = list_tables(check->connection, &check->request, CurrentMemoryContext);
}

void refuse_parents(Check *check, int) {
    refuse_hypertables(check->connection, check->request, check->listing);
}

void filter(Check *check, int) {
    set_filters(check->connection, &check->request, check->listing);
}

void find(Check *check, int) {
    const job::Request &request = check->request;
    auto count = static_cast<size_t>(request.ntables);
    auto **names = static_cast<const char **>(palloc(sizeof(char *) * count));
    auto *tables = static_cast<plan::SourceTable *>(palloc(sizeof(plan::SourceTable) * count));
    for (size_t i = 0; i < count; i++)
        names[i] = request.tables[i].source_table;
    plan::find_tables(check->connection, {names, count}, tables);
    for (size_t i = 0; i < count; i++)
        tables[i].alone = tables[i].relkind == RELKIND_RELATION && tables[i].has_children;
    check->tables = tables;
}

void begin(Check *check, int) {
    source::begin(check->connection);
    // A check that is canceled must not wait there for a lock.
    source::notice_vanished_client(check->connection);
    check->in_transaction = true;
}

void read_columns(Check *check, int) {
    auto count = static_cast<size_t>(check->request.ntables);
    auto *columns = static_cast<plan::SourceColumns *>(palloc(sizeof(plan::SourceColumns) * count));
    plan::read_columns(check->connection, {check->tables, count}, columns);
    check->columns = columns;
}

void check_program_privilege(Check *, int) {
    check_may_create();
}

// An ERROR if the connection string has what pg_dump cannot be given.
void check_program_source(Check *check, int) {
    (void)source::for_program(check->request.source);
}

void take_table_steps(Check *check) {
    for (int i = 0; i < check->request.ntables; i++) {
        const char *name = check->request.tables[i].target_table;
        CHECK_FOR_INTERRUPTS();
        (void)take(check, name, read_table, i);
        // What a probe for names has found out is of its table alone.
        if (!check->lost)
            check->connection->own_search_path = false;
        (void)take(check, name, probe_table, i);
        if (!check->lost)
            check->connection->own_search_path = false;
    }
}

void take_source_steps(Check *check) {
    if (!take(check, on_source, connect) || !take(check, on_source, check_versions))
        return;
    if (check->request.create)
        (void)take(check, on_source, check_source_of_definitions);
    bool listed = take(check, on_source, list);
    if (listed) {
        (void)take(check, on_source, refuse_parents);
        (void)take(check, on_source, filter);
        (void)take(check, on_source, check_foreign_tables);
        (void)take(check, on_source, find);
    }
    if (!take(check, on_source, begin))
        return;
    (void)take(check, on_source, check_encodings);
    if (!listed)
        return;
    (void)take(check, on_source, check_source_limits);
    (void)take(check, on_source, check_table_kinds);
    if (check->tables != nullptr && take(check, on_source, read_columns))
        take_table_steps(check);
    (void)take(check, on_source, check_missing);
    if (check->request.create) {
        (void)take(check, on_source, check_foreign_keys);
        (void)take(check, on_source, check_clashes);
        if (check->request.include_count == 0) {
            (void)take(check, on_source, check_large_objects);
            (void)take(check, on_source, check_subscriptions);
        }
    }
    (void)take(check, on_source, check_sizes);
}

void take_steps(Check *check) {
    const job::Request &request = check->request;
    if (RecoveryInProgress())
        check->add(Severity::error, on_target, _("this server is in recovery"));
    if (request.create) {
        (void)guard(check, on_target, check_program_privilege, 0);
        (void)guard(check, on_source, check_program_source, 0);
    }
    take_source_steps(check);
    (void)guard(check, on_target, check_target_limits, 0);
    (void)guard(check, on_target, check_wal, 0);
    if (request.create)
        (void)guard(check, on_target, check_schemas, 0);
    else if (!RecoveryInProgress())
        (void)guard(check, on_target, check_targets, 0);
}

bool comes_before(const Finding &a, const Finding &b) {
    if (a.severity != b.severity)
        return a.severity < b.severity;
    int objects = strcmp(a.object, b.object);
    return objects != 0 ? objects < 0 : strcmp(a.finding, b.finding) < 0;
}

}  // namespace
}  // namespace check

Findings check_clone(const job::Request &request) {
    auto *check = static_cast<check::Check *>(palloc0(sizeof(check::Check)));
    check->request = request;
    PG_TRY();
    { check::take_steps(check); }
    PG_FINALLY();
    {
        if (check->connection != nullptr)
            source::close(check->connection);
    }
    PG_END_TRY();
    Findings *findings = &check->findings;
    std::sort(findings->findings, findings->findings + findings->count, check::comes_before);
    return *findings;
}

}  // namespace fastcopy::run
