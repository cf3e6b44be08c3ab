// Waiting for the latch, as everything here does that does not wait for the source.
#ifndef FASTCOPY_PG_WAIT_HPP
#define FASTCOPY_PG_WAIT_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

// Sleeps until the latch is set or the time is over (-1: no limit), resets the latch and processes
// interrupts. Ends the process if the postmaster dies. Returns false if the time was over. A caller
// checks its condition before each wait: what sets the latch in between ends the wait at once.
inline bool wait_latch(long timeout_ms = -1) {
    int timeout = timeout_ms >= 0 ? WL_TIMEOUT : 0;
    int events = WaitLatch(MyLatch, WL_LATCH_SET | timeout | WL_EXIT_ON_PM_DEATH, timeout_ms,
                           PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
    return (events & WL_TIMEOUT) == 0;
}

}  // namespace fastcopy::pg

#endif
