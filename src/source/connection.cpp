#include "source/connection.hpp"

namespace fastcopy::source {

namespace {

// The process's connection, for the exit callback; a process of ours has one at a time.
Connection *open_connection = nullptr;
bool exit_callback_registered = false;

void close_at_exit(int, Datum) {
    if (open_connection != nullptr)
        PQfinish(open_connection->conn);
    open_connection = nullptr;
}

// Notices of the source are of no interest to the target's log; the default would write to stderr.
void ignore_notice(void *, const PGresult *) {}

// Waits for input until libpq has a whole result, then returns it (nullptr: no more).
PGresult *next_result(Connection *connection) {
    while (PQisBusy(connection->conn)) {
        wait_readable(connection);
        if (PQconsumeInput(connection->conn) == 0)
            break;
    }
    return PQgetResult(connection->conn);
}

// Receives the results of what was sent; the last one stays in `*last`, which the caller clears.
void receive(Connection *connection, const char *sql, PGresult *volatile *last) {
    for (;;) {
        PGresult *result = next_result(connection);
        if (result == nullptr)
            break;
        PQclear(*last);
        *last = result;
        if (PQresultStatus(result) == PGRES_FATAL_ERROR) {
            *last = nullptr;
            raise_remote_error(connection, result, sql);
        }
    }
    if (*last == nullptr)
        raise_remote_error(connection, nullptr, sql);
}

Rows to_rows(const PGresult *result) {
    Rows rows;
    rows.count = PQntuples(result);
    rows.columns = PQnfields(result);
    rows.fields =
        static_cast<const char **>(palloc(sizeof(char *) * Max(rows.count * rows.columns, 1)));
    for (int i = 0; i < rows.count; i++) {
        for (int j = 0; j < rows.columns; j++)
            rows.fields[i * rows.columns + j] =
                PQgetisnull(result, i, j) ? nullptr : pstrdup(PQgetvalue(result, i, j));
    }
    return rows;
}

// Turns the results of what was sent into palloc'd rows, those of the last statement.
Rows collect(Connection *connection, const char *sql) {
    PGresult *volatile last = nullptr;
    Rows rows{};
    PG_TRY();
    {
        receive(connection, sql, &last);
        rows = to_rows(last);
    }
    PG_CATCH();
    {
        PQclear(last);
        PG_RE_THROW();
    }
    PG_END_TRY();
    PQclear(last);
    return rows;
}

const char *text_or_null(const char *text) {
    return text != nullptr ? pchomp(text) : nullptr;
}

}  // namespace

char *without_secrets(const char *source) {
    char *error = nullptr;
    PQconninfoOption *options = PQconninfoParse(source, &error);
    if (options == nullptr) {
        char *message = error != nullptr ? pchomp(error) : pstrdup("out of memory");
        PQfreemem(error);
        ereport(
            ERROR,
            (errcode(ERRCODE_SYNTAX_ERROR), errmsg("invalid connection string for the source"),
             errdetail_internal("%s", message),
             errhint("Give keywords and values as in 'host=old dbname=shop', or a postgresql:// "
                     "URI.")));
    }

    StringInfoData safe;
    initStringInfo(&safe);
    for (PQconninfoOption *option = options; option->keyword != nullptr; option++) {
        // libpq marks what must not be shown with "*", and what is internal with "D".
        if (option->val == nullptr || option->val[0] == '\0' || option->dispchar[0] == '*')
            continue;
        bool quote = option->val[strcspn(option->val, " '\\")] != '\0';
        appendStringInfo(&safe, "%s%s=%s", safe.len > 0 ? " " : "", option->keyword,
                         quote ? "'" : "");
        for (const char *c = option->val; *c != '\0'; c++) {
            if (*c == '\'' || *c == '\\')
                appendStringInfoChar(&safe, '\\');
            appendStringInfoChar(&safe, *c);
        }
        appendStringInfoString(&safe, quote ? "'" : "");
    }
    PQconninfoFree(options);
    return safe.data;
}

Connection *connect(const char *source, const char *application_name) {
    // Later entries win: defaults first, then the caller's source, then what must hold.
    const char *keywords[] = {"keepalives_idle",  "keepalives_interval", "keepalives_count",
                              "tcp_user_timeout", "connect_timeout",     "dbname",
                              "client_encoding",  "application_name",    nullptr};
    const char *values[] = {
        "30",   "10", "3", "60000", "30", source, GetDatabaseEncodingName(), application_name,
        nullptr};
    // A source is always a connection string; an empty one must not fall back to a database name.
    PGconn *conn = libpqsrv_connect_params(keywords, values, true, PG_WAIT_EXTENSION);
    if (conn == nullptr)
        ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
    if (PQstatus(conn) != CONNECTION_OK) {
        char *message = pchomp(PQerrorMessage(conn));
        libpqsrv_disconnect(conn);
        ereport(ERROR, (errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
                        errmsg("could not connect to the source server"),
                        errdetail_internal("%s", message)));
    }
    PQsetNoticeReceiver(conn, ignore_notice, nullptr);

    MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
    auto *connection = static_cast<Connection *>(palloc0(sizeof(Connection)));
    connection->conn = conn;
    connection->events = CreateWaitEventSet(TopMemoryContext, 3);
    MemoryContextSwitchTo(old);
    AddWaitEventToSet(connection->events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, nullptr);
    AddWaitEventToSet(connection->events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, nullptr, nullptr);
    AddWaitEventToSet(connection->events, WL_SOCKET_READABLE, PQsocket(conn), nullptr, nullptr);

    open_connection = connection;
    if (!exit_callback_registered) {
        before_shmem_exit(close_at_exit, 0);
        exit_callback_registered = true;
    }
    return connection;
}

void close(Connection *connection) {
    if (open_connection == connection)
        open_connection = nullptr;
    FreeWaitEventSet(connection->events);
    libpqsrv_disconnect(connection->conn);
    pfree(connection);
}

int server_version(const Connection *connection) {
    return PQserverVersion(connection->conn);
}

int backend_pid(const Connection *connection) {
    return PQbackendPID(connection->conn);
}

void wait_readable(Connection *connection) {
    WaitEvent event;
    int count = WaitEventSetWait(connection->events, -1, &event, 1, PG_WAIT_EXTENSION);
    if (count > 0 && (event.events & WL_LATCH_SET) != 0)
        ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
}

Rows query(Connection *connection, const char *sql) {
    if (PQsendQuery(connection->conn, sql) == 0)
        raise_remote_error(connection, nullptr, sql);
    return collect(connection, sql);
}

Rows query(Connection *connection, const char *sql, int nparams, const char *const *params) {
    if (PQsendQueryParams(connection->conn, sql, nparams, nullptr, params, nullptr, nullptr, 0) ==
        0)
        raise_remote_error(connection, nullptr, sql);
    return collect(connection, sql);
}

void check_syntax(Connection *connection, const char *sql) {
    if (PQsendPrepare(connection->conn, "", sql, 0, nullptr) == 0)
        raise_remote_error(connection, nullptr, sql);
    (void)collect(connection, sql);
}

void normalise_session(Connection *connection) {
    int version = server_version(connection);
    StringInfoData sql;
    initStringInfo(&sql);
    // SET, not the options= of the connection: poolers refuse that.
    appendStringInfoString(&sql,
                           "SET search_path = '';"
                           "SET datestyle = ISO;"
                           "SET intervalstyle = postgres;"
                           "SET bytea_output = hex;"
                           "SET standard_conforming_strings = on;"
                           "SET synchronize_seqscans = off;"
                           "SET extra_float_digits = 3;"
                           "SET statement_timeout = 0;");
    if (version >= 90300)
        appendStringInfoString(&sql, "SET lock_timeout = 0;");
    if (version >= 90500)
        appendStringInfoString(&sql, "SET row_security = off;");
    if (version >= 90600)
        appendStringInfoString(&sql,
                               "SET idle_in_transaction_session_timeout = 0;"
                               "SET max_parallel_workers_per_gather = 0;");
    if (version >= 110000)
        appendStringInfoString(&sql, "SET jit = off;");
    if (version >= 140000)
        appendStringInfoString(&sql, "SET idle_session_timeout = 0;");
    if (version >= 170000)
        appendStringInfoString(&sql, "SET transaction_timeout = 0;");
    (void)query(connection, sql.data);

    // A source backend that has nothing to send would not notice that we have gone. Not every
    // platform can check, and then the setting is refused.
    if (version >= 140000) {
        (void)query(connection,
                    "SELECT pg_catalog.set_config(name, '1s', false)"
                    " FROM pg_catalog.pg_settings"
                    " WHERE name = 'client_connection_check_interval'"
                    " AND pg_catalog.version() ~ 'linux|darwin|apple'");
    }
}

void start_copy(Connection *connection, const char *sql) {
    if (PQsendQuery(connection->conn, sql) == 0)
        raise_remote_error(connection, nullptr, sql);
    for (;;) {
        PGresult *result = next_result(connection);
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_COMMAND_OK) {
            PQclear(result);
            continue;
        }
        if (status != PGRES_COPY_OUT)
            raise_remote_error(connection, result, sql);
        PQclear(result);
        return;
    }
}

void raise_remote_error(Connection *connection, PGresult *result, const char *sql) {
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    int code = sqlstate != nullptr && strlen(sqlstate) == 5
                   ? MAKE_SQLSTATE(sqlstate[0], sqlstate[1], sqlstate[2], sqlstate[3], sqlstate[4])
                   : ERRCODE_CONNECTION_FAILURE;
    const char *message = text_or_null(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
    const char *detail = text_or_null(PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL));
    const char *hint = text_or_null(PQresultErrorField(result, PG_DIAG_MESSAGE_HINT));
    const char *context = text_or_null(PQresultErrorField(result, PG_DIAG_CONTEXT));
    const char *connection_message = text_or_null(PQerrorMessage(connection->conn));
    PQclear(result);

    // Without a message field it was not the server that spoke, but libpq.
    bool lost = message == nullptr;
    ereport(ERROR, (errcode(code),
                    lost ? errmsg("lost the connection to the source server")
                         : errmsg_internal("%s", message),
                    detail != nullptr ? errdetail_internal("%s", detail)
                    : lost && connection_message != nullptr && connection_message[0] != '\0'
                        ? errdetail_internal("%s", connection_message)
                        : 0,
                    hint != nullptr ? errhint("%s", hint) : 0,
                    context != nullptr ? errcontext("%s", context) : 0,
                    sql != nullptr ? errcontext("statement on the source: %s", sql) : 0));
}

}  // namespace fastcopy::source
