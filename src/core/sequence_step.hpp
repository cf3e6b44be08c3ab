// How far a sequence has to be advanced so that it does not generate a value again.
#ifndef FASTCOPY_CORE_SEQUENCE_STEP_HPP
#define FASTCOPY_CORE_SEQUENCE_STEP_HPP

#include <cstdint>

namespace fastcopy::core {

struct SequenceState {
    std::int64_t last;       // the last value generated, or the first one to be
    bool is_called;          // whether a value was generated
    std::int64_t increment;  // not 0
    std::int64_t least;      // bounds, both included
    std::int64_t greatest;
};

// Whether the sequence would still generate `used` or pass it, and so has to be advanced; then
// `*next` is the value to set, as generated: the first one at or after `used` that the sequence
// would reach by its own steps, or its last bound if that comes first. `used` is within the bounds.
bool step_past(const SequenceState &state, std::int64_t used, std::int64_t *next) noexcept;

}  // namespace fastcopy::core

#endif
