// A connection to the source server, as a background process may have one: every wait is on the
// latch, the socket and the postmaster's death, and answers to interrupts at once.
//
// The connection owns its PGconn, one reserved file descriptor and one wait event set. It is closed
// by close() or at the process's exit. An error closes nothing: a process that continues after an
// error of the source closes its connection itself. PGresults never leave this module: answers are
// copied into palloc'd memory and cleared, so that an error cannot leak them.
#ifndef FASTCOPY_SOURCE_CONNECTION_HPP
#define FASTCOPY_SOURCE_CONNECTION_HPP

#include "job/request.hpp"
#include "source/answer.hpp"

namespace fastcopy::source {

struct Connection {
    PGconn *conn;
    WaitEventSet *events;
    // The error by which the source has ended an idle session; libpq passes it on as a notice.
    int last_words_sqlstate;
    char last_words[512];
    // A whole row of COPY, and how much of it has been read; see row_stream.
    char *held;
    int held_bytes;
    int held_used;
    // The encoding that the bytes of a SQL_ASCII source are interpreted in; see
    // source/encoding.hpp. -1: texts arrive in the encoding of this database.
    int encoding;
    bool own_search_path;  // for statements on the job's table; see source/search_path.hpp
    int last_error;        // SQLSTATE of the last error that the source has raised
};

// Connects to the request's source, with credentials that its caller may use; an ERROR with libpq's
// message if that fails.
Connection *connect(const job::Request &request, const char *application_name);
void close(Connection *connection);

int server_version(const Connection *connection);  // as PQserverVersion: 150004
// A parameter that the server has reported, such as server_encoding; nullptr if it has not.
const char *parameter(const Connection *connection, const char *name);
int backend_pid(const Connection *connection);

// Runs statements (simple protocol) or one statement with text parameters (extended protocol), and
// returns the rows of the last. A remote error is raised here with its SQLSTATE, message, detail
// and hint, and the statement as context.
Rows query(Connection *connection, const char *sql);
Rows query(Connection *connection, const char *sql, int nparams, const char *const *params);

// The first half of query(): sends statements. collect(), in answer.hpp, is the second: it waits
// for the results. Nothing else may be sent in between.
void send(Connection *connection, const char *sql);

// Has the source parse one statement without running it.
void check_syntax(Connection *connection, const char *sql);

// Has libpq read its input, and discards notifications. False: the connection is lost.
bool consume(Connection *connection);

// Waits for input on an idle connection, or for a timeout (-1: none); an ERROR if the
// connection is lost.
void listen(Connection *connection, long timeout_ms);

// Waits for input until libpq has a whole result, then returns it (nullptr: no more).
PGresult *next_result(Connection *connection);

// After an error of the source: discards the rest of the statement's results, so that another can
// be sent.
void drain(Connection *connection);

// Waits until the socket is readable, the latch is set or a timeout (-1: none) expires; processes
// interrupts.
void wait_readable(Connection *connection, long timeout_ms = -1);

}  // namespace fastcopy::source

#endif
