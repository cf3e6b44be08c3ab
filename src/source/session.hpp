// The settings of a session on the source: one table, for the source and for a comparison's own
// sessions.
//
// Rows must read alike whatever the settings of the source's server, database and role are, and no
// timeout of theirs may end the session. A comparison needs more: both sides must print each value
// in the same way, so what decides that is set on both sides, from the same table.
#ifndef FASTCOPY_SOURCE_SESSION_HPP
#define FASTCOPY_SOURCE_SESSION_HPP

#include "source/connection.hpp"

namespace fastcopy::source {

// Begins the job's transaction on the source and applies the settings within it, so that they hold
// behind a pooler too. It takes no snapshot yet.
void begin(Connection *connection);

// Applies what a comparison needs beyond begin() to the source's session; and all that it needs to
// this process.
void normalize_for_comparison(Connection *connection);
void normalize_here_for_comparison();

// Whether an error of the source says that a snapshot to import does not exist, or no longer
// exists.
bool is_missing_snapshot(int sqlerrcode);

// Has the source check from time to time whether the client is still there while it has nothing to
// send. Takes a snapshot.
void notice_vanished_client(Connection *connection);

}  // namespace fastcopy::source

#endif
