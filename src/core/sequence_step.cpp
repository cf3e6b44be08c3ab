#include "core/sequence_step.hpp"

namespace fastcopy::core {

bool step_past(const SequenceState &state, std::int64_t used, std::int64_t *next) noexcept {
    bool up = state.increment > 0;
    bool ahead = up ? state.last > used : state.last < used;
    if (ahead || (state.last == used && state.is_called))
        return false;

    // Distances fit into unsigned 64-bit integers, whatever the bounds.
    auto distance = [up](std::int64_t from, std::int64_t to) {
        return up ? static_cast<std::uint64_t>(to) - static_cast<std::uint64_t>(from)
                  : static_cast<std::uint64_t>(from) - static_cast<std::uint64_t>(to);
    };
    std::uint64_t step = up ? static_cast<std::uint64_t>(state.increment)
                            : std::uint64_t{0} - static_cast<std::uint64_t>(state.increment);
    std::uint64_t way = distance(state.last, used);
    std::uint64_t room = distance(state.last, up ? state.greatest : state.least);
    std::uint64_t rest = way % step;
    std::uint64_t more = rest == 0 ? 0 : step - rest;
    std::uint64_t whole = room - way < more ? room : way + more;
    *next = static_cast<std::int64_t>(up ? static_cast<std::uint64_t>(state.last) + whole
                                         : static_cast<std::uint64_t>(state.last) - whole);
    return true;
}

}  // namespace fastcopy::core
