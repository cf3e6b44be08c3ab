// A connection to the source server, as a background process may have one: every wait is on the latch,
// the socket and the postmaster's death, and answers to interrupts at once.
//
// The connection owns its PGconn, one reserved file descriptor and one wait event set. It is closed by
// close(), or by the process's exit: coordinators and workers never outlive an error, so there is no
// other path. PGresults never leave this module: answers are copied into palloc'd memory and cleared,
// so an error cannot orphan them.
#ifndef FASTCOPY_SOURCE_CONNECTION_HPP
#define FASTCOPY_SOURCE_CONNECTION_HPP

#include "pg/postgres.hpp"
#include "source/answer.hpp"
#include "source/credentials.hpp"

namespace fastcopy::source {

struct Connection {
    PGconn *conn;
    WaitEventSet *events;
    // What the source said last before it ended an idle session; libpq passes it on as a notice.
    int last_words_sqlstate;
    char last_words[512];
    // A row of COPY that came as a whole, and how much of it has been read; see row_stream.
    char *held;
    int held_bytes;
    int held_used;
    // What the bytes of a SQL_ASCII source are taken for; see source/encoding.hpp. -1: texts come in the encoding
    // of this database.
    int encoding;
    bool own_search_path;  // of statements on the job's table; see source/search_path.hpp
    int last_error;        // SQLSTATE of the last error that the source has raised
};

// Checks a connection string or URI without connecting, and returns it in keyword form without
// anything secret in it, for people to see. An ERROR when it cannot be parsed.
char *without_secrets(const char *source);

// Connects with credentials that can be trusted, or raises an ERROR that says what libpq said. `encoding`: see
// source/encoding.hpp; nullptr for none.
Connection *connect(const char *source, Trust trust, const char *application_name,
                    const char *encoding);
void close(Connection *connection);

int server_version(const Connection *connection);  // as PQserverVersion: 150004
int backend_pid(const Connection *connection);

// Runs statements (simple protocol) or one statement with text parameters (extended protocol), and
// returns the rows of the last. A remote error is raised here with its SQLSTATE, message, detail and
// hint, and the statement as context.
Rows query(Connection *connection, const char *sql);
Rows query(Connection *connection, const char *sql, int nparams, const char *const *params);

// The two halves of the first: sends statements; collect(), in answer.hpp, waits for what they return. Nothing
// else may be sent in between.
void send(Connection *connection, const char *sql);

// Has the source parse one statement without running it.
void check_syntax(Connection *connection, const char *sql);

// Begins the job's transaction on the source, and sets for it what makes a session's output independent of
// the settings of its server, database and role, and keeps the server from ending it. Within the
// transaction, so that it holds behind a pooler too. It takes no snapshot yet.
void begin(Connection *connection);

// Tells the source to look now and then whether we are still there, while it has nothing to send. Takes a
// snapshot.
void notice_vanished_client(Connection *connection);

// Sends statements whose last is a COPY TO STDOUT, and returns once the source has begun to copy.
void start_copy(Connection *connection, const char *sql);

// Has libpq read what has come, and throws away notifications. False: the connection is lost.
bool consume(Connection *connection);

// Waits for input until libpq has a whole result, then returns it (nullptr: no more).
PGresult *next_result(Connection *connection);

// After an error of the source: takes what else has come of the statement, so that another can be sent.
void drain(Connection *connection);

// Returns when the socket is readable, the latch was set or the time is over (-1: never); processes interrupts.
void wait_readable(Connection *connection, long timeout_ms = -1);

// Raises the source's error: that of `result`, or of the connection when it has none. Clears the
// result. `sql` is the statement for the context line.
[[noreturn]] void raise_remote_error(Connection *connection, PGresult *result, const char *sql);

}  // namespace fastcopy::source

#endif
