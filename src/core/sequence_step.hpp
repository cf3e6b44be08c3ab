// How far a sequence has to be moved for it not to give out a value again.
#ifndef FASTCOPY_CORE_SEQUENCE_STEP_HPP
#define FASTCOPY_CORE_SEQUENCE_STEP_HPP

#include <cstdint>

namespace fastcopy::core {

struct SequenceState {
    std::int64_t last;       // the last value given out, or the first to be, if none has been
    bool is_called;          // whether one has been
    std::int64_t increment;  // not 0
    std::int64_t least;      // bounds, both included
    std::int64_t greatest;
};

// Whether the sequence would give out `used`, or come past it, and so has to be moved on; then `*next` is the
// value it has to be set to, as given out: the nearest one, at `used` or behind, that it would have come to by its own
// steps, or its last bound where that lies beyond. `used` is within the bounds.
bool step_past(const SequenceState &state, std::int64_t used, std::int64_t *next) noexcept;

}  // namespace fastcopy::core

#endif
