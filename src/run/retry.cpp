#include "run/retry.hpp"

#include "pg/random.hpp"
#include "pg/wait.hpp"

namespace fastcopy::run::retry {

namespace {

constexpr int64 longest_delay_ms = 30000;

}  // namespace

bool is_of_connection(int sqlerrcode) {
    if (ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_CONNECTION_EXCEPTION)
        return true;
    switch (sqlerrcode) {
        case ERRCODE_ADMIN_SHUTDOWN:
        case ERRCODE_CRASH_SHUTDOWN:
        case ERRCODE_CANNOT_CONNECT_NOW:
        case ERRCODE_TOO_MANY_CONNECTIONS:
            return true;
        default:
            return false;
    }
}

bool is_transient(int sqlerrcode) {
    if (sqlerrcode == ERRCODE_PROTOCOL_VIOLATION ||
        sqlerrcode == ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN)
        return false;
    if (is_of_connection(sqlerrcode))
        return true;
    switch (sqlerrcode) {
        case ERRCODE_T_R_SERIALIZATION_FAILURE:
        case ERRCODE_T_R_DEADLOCK_DETECTED:
        case ERRCODE_LOCK_NOT_AVAILABLE:
            return true;
        default:
            return false;
    }
}

bool is_conflict(int sqlerrcode) {
    return sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED ||
           sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE;
}

void back_off(int first_delay_ms, int retries) {
    int64 delay = first_delay_ms;
    for (int i = 0; i < retries && delay < longest_delay_ms; i++)
        delay *= 2;
    delay = Min(delay, longest_delay_ms);
    auto jittered = static_cast<int64>(delay * (0.5 + 0.5 * pg::random_fraction()));

    TimestampTz deadline = GetCurrentTimestamp() + jittered * 1000;
    for (;;) {
        long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
        if (left <= 0)
            return;
        (void)pg::wait_latch(left);
    }
}

}  // namespace fastcopy::run::retry
