// Sets of events to wait for, which live until they are freed.
#ifndef FASTCOPY_PG_EVENT_SET_HPP
#define FASTCOPY_PG_EVENT_SET_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

// A set for so many events, in TopMemoryContext and of no resource owner.
inline WaitEventSet *create_event_set(int events) {
#if PG_VERSION_NUM >= 170000
    return CreateWaitEventSet(nullptr, events);
#else
    return CreateWaitEventSet(TopMemoryContext, events);
#endif
}

}  // namespace fastcopy::pg

#endif
