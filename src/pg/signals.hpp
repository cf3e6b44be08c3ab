// Signals of background processes.
#ifndef FASTCOPY_PG_SIGNALS_HPP
#define FASTCOPY_PG_SIGNALS_HPP

#include <signal.h>

#include "pg/postgres.hpp"

namespace fastcopy::pg {

inline void ignore_signal(int signal) {
#if PG_VERSION_NUM >= 190000
    // PG_SIG_IGN, by the one pointer that clang lets become any other.
    pqsignal(signal, reinterpret_cast<pqsigfunc>(reinterpret_cast<void *>(SIG_IGN)));
#else
    pqsignal(signal, SIG_IGN);
#endif
}

// SIGINT cancels, as in a regular backend.
inline void heed_cancels() {
    pqsignal(SIGINT, StatementCancelHandler);
}

}  // namespace fastcopy::pg

#endif
