#include "core/sequence_step.hpp"

#include <limits>

#include <gtest/gtest.h>

using fastcopy::core::SequenceState;
using fastcopy::core::step_past;

namespace {

constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t greatest = std::numeric_limits<std::int64_t>::max();

// The value the sequence is set to, or -1 for one that stays.
std::int64_t moved(const SequenceState &state, std::int64_t used) {
    std::int64_t next = 0;
    return step_past(state, used, &next) ? next : -1;
}

TEST(SequenceStep, MovesUpToTheUsedValue) {
    EXPECT_EQ(moved({1, false, 1, 1, greatest}, 100), 100);
    EXPECT_EQ(moved({7, true, 1, 1, greatest}, 100), 100);
}

TEST(SequenceStep, NeverMovesBack) {
    EXPECT_EQ(moved({101, false, 1, 1, greatest}, 100), -1);
    EXPECT_EQ(moved({100, true, 1, 1, greatest}, 100), -1);
    EXPECT_EQ(moved({500, true, 1, 1, greatest}, 100), -1);
}

TEST(SequenceStep, TakesAFirstValueThatIsUsedForGivenOut) {
    EXPECT_EQ(moved({100, false, 1, 1, greatest}, 100), 100);
}

TEST(SequenceStep, GoesDownWithANegativeIncrement) {
    EXPECT_EQ(moved({-5, true, -1, least, -1}, -100), -100);
    EXPECT_EQ(moved({-500, true, -1, least, -1}, -100), -1);
}

TEST(SequenceStep, KeepsStep) {
    EXPECT_EQ(moved({1, false, 2, 1, greatest}, 100), 101);
    EXPECT_EQ(moved({1, true, 10, 1, greatest}, 91), 91);
    EXPECT_EQ(moved({-1, true, -3, least, -1}, -2), -4);
}

TEST(SequenceStep, EndsAtTheBound) {
    EXPECT_EQ(moved({1, true, 7, 1, 10}, 9), 10);
    EXPECT_EQ(moved({1, true, 1, 1, 10}, 10), 10);
    EXPECT_EQ(moved({-1, true, -7, -10, -1}, -9), -10);
    EXPECT_EQ(moved({greatest - 1, true, 5, 1, greatest}, greatest), greatest);
}

TEST(SequenceStep, BridgesTheWholeRangeOfNumbers) {
    EXPECT_EQ(moved({least, true, 1, least, greatest}, greatest), greatest);
    EXPECT_EQ(moved({greatest, true, -1, least, greatest}, least), least);
    EXPECT_EQ(moved({least, true, greatest, least, greatest}, 0), greatest - 1);
    EXPECT_EQ(moved({greatest, true, least, least, greatest}, 0), -1);
}

}  // namespace
