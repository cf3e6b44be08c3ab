// A job's search_path on the source: empty, until a statement on its table needs the role's own
// (source/search_path).
//
// The coordinator finds out as it probes the table. A failure that only occurs in the middle of the
// rows (of a function in a view, whose body is parsed when it is called) is found by a worker. All
// connections made from then on use the role's own; existing ones keep theirs, since their
// statements work.
#ifndef FASTCOPY_RUN_SEARCH_PATH_HPP
#define FASTCOPY_RUN_SEARCH_PATH_HPP

#include "job/area.hpp"
#include "job/registry.hpp"
#include "source/connection.hpp"

namespace fastcopy::run::search_path {

enum class Path : uint32 { empty, own, always_empty };

// By the coordinator, after the probe: publishes the path to the workers. `fixed`: another path
// would change values.
void publish(job::Area *area, const source::Connection *connection, bool fixed);

// By a worker, for all statements on a connection that has joined the job's snapshot.
void adopt(job::Area *area, source::Connection *connection);

// By a worker whose statement on the connection has failed: whether to retry it under the role's
// own search_path, on a new connection. Not with a filter once this run has done chunks: other
// chunks would be filtered by another meaning.
bool may_switch(job::Area *area, job::JobSlot *slot, const source::Connection *connection,
                const ErrorData *error);

}  // namespace fastcopy::run::search_path

#endif
