// The target's columns, by which source columns are matched.
#ifndef FASTCOPY_JOB_TARGET_COLUMNS_HPP
#define FASTCOPY_JOB_TARGET_COLUMNS_HPP

#include "pg/postgres.hpp"

namespace fastcopy::job {

struct TargetColumn {
    const char *name;  // unquoted
    bool generated;
    Oid type;               // of the base type, domains resolved
    const char *type_name;  // unquoted, of the base type
    char type_kind;         // pg_type.typtype of the base type
    bool built_in;          // the type's OID means the same on every server
    bool is_array;
    bool has_binary;     // has send and receive functions
    const char *layout;  // as in plan::SourceColumn
};

struct TargetColumns {
    int count;
    TargetColumn *columns;
};

// The column of that unquoted name, or nullptr.
inline const TargetColumn *find_column(const TargetColumns &columns, const char *name) {
    for (int i = 0; i < columns.count; i++) {
        if (strcmp(columns.columns[i].name, name) == 0)
            return &columns.columns[i];
    }
    return nullptr;
}

}  // namespace fastcopy::job

#endif
