#include "source/connection.hpp"

#include "core/redact.hpp"
#include "pg/event_set.hpp"
#include "source/encoding.hpp"
#include "source/memory_limit.hpp"

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

// The most of a text of the source that is repeated in an error.
constexpr int max_error_text = 8192;

// The source's code. An error with a code of success, which the rest of the server would take for none,
// has none.
int to_sqlstate(const char *text) {
    if (text == nullptr || strlen(text) != 5)
        return ERRCODE_CONNECTION_FAILURE;
    int code = MAKE_SQLSTATE(text[0], text[1], text[2], text[3], text[4]);
    switch (ERRCODE_TO_CATEGORY(code)) {
        case ERRCODE_SUCCESSFUL_COMPLETION:
        case ERRCODE_WARNING:
        case ERRCODE_NO_DATA:
            return ERRCODE_PROTOCOL_VIOLATION;
        default:
            return code;
    }
}

// Writes a text of the source, cut to the buffer, as text that is valid here: it may be in any encoding,
// or in none.
void copy_valid(char *buffer, size_t size, const char *text) {
    size_t length = strnlen(text, size);
    if (length >= size)
        length = pg_mbcliplen(text, static_cast<int>(length), static_cast<int>(size - 1));
    memcpy(buffer, text, length);
    buffer[length] = '\0';
    if (pg_verify_mbstr(GetDatabaseEncoding(), buffer, static_cast<int>(length), true))
        return;
    for (char *c = buffer; *c != '\0'; c++) {
        if (IS_HIGHBIT_SET(*c))
            *c = '?';
    }
}

// Notices of a connection that is being made: the default would write them to the server's log.
void ignore_notice(void *, const PGresult *) noexcept {}

// Notices of the source are of no interest to the target's log; the default would write to stderr. What
// arrives here too is why the source ended an idle session.
void receive_notice(void *arg, const PGresult *result) noexcept {
    auto *connection = static_cast<Connection *>(arg);
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (severity == nullptr || message == nullptr ||
        (strcmp(severity, "FATAL") != 0 && strcmp(severity, "PANIC") != 0))
        return;
    connection->last_words_sqlstate = to_sqlstate(PQresultErrorField(result, PG_DIAG_SQLSTATE));
    copy_valid(connection->last_words, sizeof(connection->last_words), message);
}

void disconnect(PGconn *conn) {
    PQfinish(conn);
    ReleaseExternalFD();
}

// Sends what libpq has buffered. A source that has stopped reading must not hold us inside of libpq; what it
// sends meanwhile is read, lest both sides wait for the other.
void flush(Connection *connection, const char *sql) {
    for (;;) {
        int left = PQflush(connection->conn);
        if (left == 0)
            return;
        if (left < 0)
            raise_remote_error(connection, nullptr, sql);
        int events = WaitLatchOrSocket(
            MyLatch, WL_EXIT_ON_PM_DEATH | WL_LATCH_SET | WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE,
            PQsocket(connection->conn), -1, PG_WAIT_EXTENSION);
        if ((events & WL_LATCH_SET) != 0) {
            ResetLatch(MyLatch);
            CHECK_FOR_INTERRUPTS();
        }
        if ((events & WL_SOCKET_READABLE) != 0 && !consume(connection))
            raise_remote_error(connection, nullptr, sql);
    }
}

// The seconds that connecting may take, as the connection string says; 0: as long as it takes.
pg_noinline int connect_timeout(PGconn *conn) {
    int seconds = 0;
    PQconninfoOption *options = PQconninfo(conn);
    for (PQconninfoOption *option = options; option != nullptr && option->keyword != nullptr;
         option++) {
        if (strcmp(option->keyword, "connect_timeout") == 0 && option->val != nullptr)
            seconds = Max(atoi(option->val), 0);
    }
    PQconninfoFree(options);
    return seconds;
}

// Drives a connection that is being made; libpq leaves the timeout to those who poll. False: too late.
pg_noinline bool poll_until_connected(PGconn *conn, int timeout_seconds) {
    if (PQstatus(conn) == CONNECTION_BAD)
        return true;
    TimestampTz deadline = GetCurrentTimestamp() + timeout_seconds * USECS_PER_SEC;
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    while (status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED) {
        long left = -1;
        if (timeout_seconds > 0) {
            left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
            if (left <= 0)
                return false;
        }
        int wanted = status == PGRES_POLLING_READING ? WL_SOCKET_READABLE : WL_SOCKET_WRITEABLE;
        int events = WaitLatchOrSocket(
            MyLatch, WL_EXIT_ON_PM_DEATH | WL_LATCH_SET | wanted | (left > 0 ? WL_TIMEOUT : 0),
            PQsocket(conn), left, PG_WAIT_EXTENSION);
        if ((events & WL_LATCH_SET) != 0) {
            ResetLatch(MyLatch);
            CHECK_FOR_INTERRUPTS();
        }
        if ((events & wanted) != 0) {
            status = PQconnectPoll(conn);
            memory_limit::check();
        }
    }
    return true;
}

const char *text_or_null(const char *text) {
    if (text == nullptr)
        return nullptr;
    auto *copy = static_cast<char *>(palloc(max_error_text));
    copy_valid(copy, max_error_text, text);
    return pchomp(copy);
}

}  // namespace

char *without_secrets(const char *source) {
    char *error = nullptr;
    PQconninfoOption *options = PQconninfoParse(source, &error);
    if (options == nullptr) {
        char *message = error != nullptr ? pchomp(error) : pstrdup("out of memory");
        PQfreemem(error);
        char shown[512];
        shown[core::redact(message, std::span<char>(shown, sizeof(shown) - 1))] = '\0';
        ereport(
            ERROR,
            (errcode(ERRCODE_SYNTAX_ERROR), errmsg("invalid connection string for the source"),
             errdetail_internal("%s", shown),
             errhint("Give keywords and values as in 'host=old dbname=shop', or a postgresql:// "
                     "URI.")));
    }

    StringInfoData safe;
    initStringInfo(&safe);
    for (PQconninfoOption *option = options; option->keyword != nullptr; option++) {
        // libpq marks what must not be shown with "*", and what is internal with "D": keys that are as
        // good as a password among it.
        if (option->val == nullptr || option->val[0] == '\0' || option->dispchar[0] == '*' ||
            option->dispchar[0] == 'D')
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

Connection *connect(const char *source, Trust trust, const char *application_name,
                    const char *encoding) {
    check_source_string(source, trust);
    // The certificate and the ticket that libpq finds by itself are the server account's. Nothing can be
    // below a device, so there is no certificate; a null value leaves an option as it is.
    bool lend = trust == Trust::superuser;
    const char *certificate = lend ? nullptr : "/dev/null/none";
    const char *gss_encryption = lend ? nullptr : "disable";
    // Later entries win: defaults first, then the caller's source, then what must hold.
    constexpr int count = 10;
    const char *options[count][2] = {
        {"keepalives_idle", "30"},
        {"keepalives_interval", "10"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", "60000"},
        {"connect_timeout", "30"},
        {"dbname", source},
        {"client_encoding", encoding != nullptr ? encoding : GetDatabaseEncodingName()},
        {"application_name", application_name},
        {"sslcert", certificate},
        {"gssencmode", gss_encryption}};
    const char *keywords[count + 1] = {};
    const char *values[count + 1] = {};
    for (int i = 0; i < count; i++) {
        keywords[i] = options[i][0];
        values[i] = options[i][1];
    }
    if (!AcquireExternalFD())
        ereport(ERROR,
                (errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
                 errmsg("could not connect to the source server"),
                 errdetail("There are too many open files on the local server."),
                 errhint("Raise the server's max_files_per_process and/or \"ulimit -n\" limits.")));
    memory_limit::begin();
    PGconn *conn = PQconnectStartParams(keywords, values, true);
    if (conn == nullptr) {
        ReleaseExternalFD();
        ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
    }
    // Neither may the source write to our log, nor keep us waiting inside of libpq until it listens.
    PQsetNoticeReceiver(conn, ignore_notice, nullptr);
    (void)PQsetnonblocking(conn, 1);
    int timeout = connect_timeout(conn);
    bool in_time = true;
    PG_TRY();
    { in_time = poll_until_connected(conn, timeout); }
    PG_CATCH();
    {
        disconnect(conn);
        PG_RE_THROW();
    }
    PG_END_TRY();
    if (!in_time || PQstatus(conn) != CONNECTION_OK) {
        const char *message =
            in_time ? text_or_null(PQerrorMessage(conn))
                    : psprintf("The source did not answer within %d seconds.", timeout);
        disconnect(conn);
        ereport(ERROR, (errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
                        errmsg("could not connect to the source server"),
                        errdetail_internal("%s", message),
                        in_time ? 0
                                : errhint("Check host and port, or set connect_timeout in the "
                                          "connection string.")));
    }

    if (!used_own_credentials(conn, trust)) {
        disconnect(conn);
        ereport(
            ERROR,
            (errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
             errmsg("password is required"),
             errdetail("Non-superusers cannot connect if the source does not ask for a password."),
             errhint("Change the authentication method of the source server.")));
    }

    MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
    auto *connection = static_cast<Connection *>(palloc0(sizeof(Connection)));
    connection->conn = conn;
    connection->encoding = encoding != nullptr ? pg_char_to_encoding(encoding) : -1;
    PQsetNoticeReceiver(conn, receive_notice, connection);
    connection->events = pg::create_event_set(3);
    MemoryContextSwitchTo(old);
    AddWaitEventToSet(connection->events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, nullptr);
    AddWaitEventToSet(connection->events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, nullptr, nullptr);
    AddWaitEventToSet(connection->events, WL_SOCKET_READABLE, PQsocket(conn), nullptr, nullptr);

    open_connection = connection;
    if (!exit_callback_registered) {
        before_shmem_exit(close_at_exit, 0);
        exit_callback_registered = true;
    }
    if (encoding != nullptr)
        check_source_encoding(connection);
    return connection;
}

void close(Connection *connection) {
    if (open_connection == connection)
        open_connection = nullptr;
    FreeWaitEventSet(connection->events);
    PQfreemem(connection->held);
    disconnect(connection->conn);
    pfree(connection);
}

int server_version(const Connection *connection) {
    return PQserverVersion(connection->conn);
}

int backend_pid(const Connection *connection) {
    return PQbackendPID(connection->conn);
}

bool consume(Connection *connection) {
    bool alive = PQconsumeInput(connection->conn) != 0;
    while (PGnotify *notification = PQnotifies(connection->conn))
        PQfreemem(notification);
    memory_limit::check();
    return alive;
}

PGresult *next_result(Connection *connection) {
    while (PQisBusy(connection->conn)) {
        wait_readable(connection);
        if (!consume(connection))
            break;
    }
    return PQgetResult(connection->conn);
}

void drain(Connection *connection) {
    while (PGresult *result = next_result(connection)) {
        bool copying = PQresultStatus(result) == PGRES_COPY_OUT;
        PQclear(result);
        if (copying)
            raise_odd_answer("rows that nobody asked for");
    }
}

void wait_readable(Connection *connection, long timeout_ms) {
    WaitEvent event;
    int count = WaitEventSetWait(connection->events, timeout_ms, &event, 1, PG_WAIT_EXTENSION);
    if (count > 0 && (event.events & WL_LATCH_SET) != 0)
        ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
}

void send(Connection *connection, const char *sql) {
    if (PQsendQuery(connection->conn, encode(connection, sql)) == 0)
        raise_remote_error(connection, nullptr, sql);
    flush(connection, sql);
}

Rows query(Connection *connection, const char *sql) {
    send(connection, sql);
    return collect(connection, sql);
}

Rows query(Connection *connection, const char *sql, int nparams, const char *const *params) {
    auto **encoded = static_cast<const char **>(palloc(sizeof(char *) * Max(nparams, 1)));
    for (int i = 0; i < nparams; i++)
        encoded[i] = params[i] != nullptr ? encode(connection, params[i]) : nullptr;
    if (PQsendQueryParams(connection->conn, encode(connection, sql), nparams, nullptr, encoded,
                          nullptr, nullptr, 0) == 0)
        raise_remote_error(connection, nullptr, sql);
    flush(connection, sql);
    return collect(connection, sql);
}

void check_syntax(Connection *connection, const char *sql) {
    if (PQsendPrepare(connection->conn, "", encode(connection, sql), 0, nullptr) == 0)
        raise_remote_error(connection, nullptr, sql);
    flush(connection, sql);
    (void)collect(connection, sql);
}

void begin(Connection *connection) {
    int version = server_version(connection);
    (void)query(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY");
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
}

void notice_vanished_client(Connection *connection) {
    // Not every platform can check, and then the setting is refused.
    if (server_version(connection) >= 140000) {
        (void)query(connection,
                    "SELECT pg_catalog.set_config('client_connection_check_interval', '1s', false)"
                    " WHERE pg_catalog.version() OPERATOR(pg_catalog.~) 'linux|darwin|apple'");
    }
}

void start_copy(Connection *connection, const char *sql) {
    memory_limit::allow_large_rows();
    if (PQsendQuery(connection->conn, encode(connection, sql)) == 0)
        raise_remote_error(connection, nullptr, sql);
    flush(connection, sql);
    for (;;) {
        PGresult *result = next_result(connection);
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_COMMAND_OK) {
            PQclear(result);
            continue;
        }
        if (status == PGRES_FATAL_ERROR)
            raise_remote_error(connection, result, sql);
        PQclear(result);
        if (status != PGRES_COPY_OUT)
            raise_odd_answer(PQresStatus(status));
        return;
    }
}

void raise_remote_error(Connection *connection, PGresult *result, const char *sql) {
    int code = to_sqlstate(PQresultErrorField(result, PG_DIAG_SQLSTATE));
    const char *message = text_or_null(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
    const char *detail = text_or_null(PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL));
    const char *hint = text_or_null(PQresultErrorField(result, PG_DIAG_MESSAGE_HINT));
    if (hint == nullptr)
        hint = hint_for(connection, code);
    const char *context = text_or_null(PQresultErrorField(result, PG_DIAG_CONTEXT));
    const char *connection_message = text_or_null(PQerrorMessage(connection->conn));
    PQclear(result);
    connection->last_error = code;
    if (message == nullptr && connection->last_words[0] != '\0') {
        message = connection->last_words;
        code = connection->last_words_sqlstate;
    }

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
