// What fastcopy.check has found, one by one.
#ifndef FASTCOPY_RUN_FINDINGS_HPP
#define FASTCOPY_RUN_FINDINGS_HPP

#include "pg/postgres.hpp"

namespace fastcopy::run {

enum class Severity {
    error,    // the clone would fail
    warning,  // it would work, but not as its caller may expect
    info,
};

// Strings are palloc'd or constants; there may be no hint.
struct Finding {
    Severity severity;
    const char *object;
    const char *finding;
    const char *hint;
};

struct Findings {
    int count;
    int capacity;
    Finding *findings;

    // Keeps the strings as they are.
    void add(Severity severity, const char *object, const char *finding,
             const char *hint = nullptr) {
        if (count == capacity) {
            capacity = Max(16, capacity * 2);
            Size size = sizeof(Finding) * static_cast<Size>(capacity);
            findings = static_cast<Finding *>(findings == nullptr ? palloc(size)
                                                                  : repalloc_huge(findings, size));
        }
        findings[count++] = Finding{severity, object, finding, hint};
    }
};

}  // namespace fastcopy::run

#endif
