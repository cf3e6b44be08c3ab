// Worker 0 before it works: it takes the snapshots of both sides and makes the plan.
//
// A background process does this, not the caller's session: any error may end it together with its
// connection and transactions, and a session in a subtransaction could not export a snapshot.
#ifndef FASTCOPY_COMPARE_LEADER_HPP
#define FASTCOPY_COMPARE_LEADER_HPP

#include "compare/area.hpp"
#include "source/connection.hpp"

namespace fastcopy::compare {

// Begins the transactions on both sides, exports their snapshots into the area and makes the plan.
// Both transactions must stay open as long as another process may import the snapshots.
Plan lead(Area *area, const job::Request &request, source::Connection *connection);

}  // namespace fastcopy::compare

#endif
