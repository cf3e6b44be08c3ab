#include "source/connection.hpp"

#include "pg/event_set.hpp"
#include "source/credentials.hpp"
#include "source/encoding.hpp"
#include "source/memory_limit.hpp"
#include "source/remote_error.hpp"

namespace fastcopy::source {

namespace {

// The process's connection, for the exit callback. A process has one at a time.
Connection *open_connection = nullptr;
bool exit_callback_registered = false;

void close_at_exit(int, Datum) {
    if (open_connection != nullptr)
        PQfinish(open_connection->conn);
    open_connection = nullptr;
}

// While the connection is being made; by default, libpq writes notices to stderr, the server's log.
void ignore_notice(void *, const PGresult *) noexcept {}

void disconnect(PGconn *conn) {
    PQfinish(conn);
    ReleaseExternalFD();
}

// Sends what libpq has buffered. Interrupts are processed while a source does not read; what it
// sends meanwhile is read, or both sides would wait for each other.
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

// The connect_timeout of the connection string in seconds; 0: no limit.
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

// Drives an asynchronous connection attempt. libpq leaves the timeout to callers that poll. False:
// it has expired.
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

Trust trust_of(const job::Request &request) {
    return request.password_required ? Trust::own_password_only : Trust::superuser;
}

}  // namespace

Connection *connect(const job::Request &request, const char *application_name) {
    const char *source = request.source;
    const char *encoding = request.source_encoding;
    check_source_string(source, trust_of(request));
    // Keep libpq from using the server account's default certificate, by a path that cannot exist,
    // and its Kerberos ticket. A null value leaves an option as it is.
    bool lend = trust_of(request) == Trust::superuser;
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
    // The source must not write to this server's log, nor block the process within libpq by not
    // reading.
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
            in_time ? valid_text(PQerrorMessage(conn))
                    : psprintf("The source did not answer within %d seconds.", timeout);
        disconnect(conn);
        ereport(ERROR, (errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
                        errmsg("could not connect to the source server"),
                        errdetail_internal("%s", message),
                        in_time ? 0
                                : errhint("Check host and port, or set connect_timeout in the "
                                          "connection string.")));
    }

    if (!used_own_credentials(conn, trust_of(request))) {
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
    PQsetNoticeReceiver(conn, note_last_words, connection);
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
    PG_TRY();
    {
        if (encoding != nullptr)
            check_source_encoding(connection);
    }
    PG_CATCH();
    {
        close(connection);
        PG_RE_THROW();
    }
    PG_END_TRY();
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

const char *parameter(const Connection *connection, const char *name) {
    return PQparameterStatus(connection->conn, name);
}

bool consume(Connection *connection) {
    bool alive = PQconsumeInput(connection->conn) != 0;
    while (PGnotify *notification = PQnotifies(connection->conn))
        PQfreemem(notification);
    memory_limit::check();
    return alive;
}

void listen(Connection *connection, long timeout_ms) {
    wait_readable(connection, timeout_ms);
    bool alive = consume(connection);
    (void)PQisBusy(connection->conn);  // has libpq parse what it has read
    if (!alive)
        raise_remote_error(connection, nullptr, nullptr);
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
            raise_odd_answer("The source sent rows that were not requested.");
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

}  // namespace fastcopy::source
