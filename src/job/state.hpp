// The states of a job and the transitions between them. The ledger's SQL spells the names out.
//
//     planning ──▶ copying ──▶ indexing ──▶ done
//         │           │            │         ▲
//         │           └────────────┼─────────┘  (nothing to build)
//         └───────────┴────────────┴──────▶ failed | cancelled
//
// `planning` is only ever live: a job enters the ledger in state `copying`, once its plan is
// committed. `interrupted` is no state of this machine: a job that the ledger calls running, but
// that no coordinator owns, is shown so (by the view fastcopy.status).
#ifndef FASTCOPY_JOB_STATE_HPP
#define FASTCOPY_JOB_STATE_HPP

namespace fastcopy::job {

enum class State : unsigned { planning, copying, indexing, done, failed, cancelled };

constexpr const char *name_of(State state) {
    switch (state) {
        case State::planning:
            return "planning";
        case State::copying:
            return "copying";
        case State::indexing:
            return "indexing";
        case State::done:
            return "done";
        case State::failed:
            return "failed";
        case State::cancelled:
            return "cancelled";
    }
    return "unknown";
}

constexpr bool has_ended(State state) {
    return state == State::done || state == State::failed || state == State::cancelled;
}

// Whether a job in state `from` may move to state `to`.
constexpr bool may_move(State from, State to) {
    if (has_ended(from))
        return false;
    if (to == State::failed || to == State::cancelled)
        return true;
    return (from == State::planning && to == State::copying) ||
           (from == State::copying && (to == State::indexing || to == State::done)) ||
           (from == State::indexing && to == State::done);
}

static_assert(may_move(State::planning, State::copying) && !may_move(State::planning, State::done));
static_assert(!may_move(State::done, State::failed) && !may_move(State::copying, State::planning));

}  // namespace fastcopy::job

#endif
