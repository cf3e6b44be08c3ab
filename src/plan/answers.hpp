// Fields of the source's answers as what the planner makes of them. A field that cannot be right is
// an ERROR.
#ifndef FASTCOPY_PLAN_ANSWERS_HPP
#define FASTCOPY_PLAN_ANSWERS_HPP

#include "core/sql_name.hpp"
#include "source/answer.hpp"

namespace fastcopy::plan {

inline Oid oid_at(const source::Rows &rows, int row, int column) {
    return static_cast<Oid>(rows.number_at(row, column, InvalidOid, OID_MAX));
}

inline bool to_bool(const char *text) {
    return text != nullptr && text[0] == 't';
}

// A quoted name that goes into statements, and into the ledger with each chunk.
inline const char *to_name(const char *text,
                           bool (*is_valid)(std::string_view) noexcept = core::is_name) {
    if (!is_valid(text))
        source::raise_odd_answer("The source returned an invalid identifier.");
    return text;
}

}  // namespace fastcopy::plan

#endif
