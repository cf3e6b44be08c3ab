#include "plan/name_types.hpp"

namespace fastcopy::plan {

namespace {

bool has_names(Oid type) {
    check_stack_depth();
    type = getBaseType(type);
    switch (get_typtype(type)) {
        case TYPTYPE_RANGE:
            return has_names(get_range_subtype(type));
        case TYPTYPE_MULTIRANGE:
            return has_names(get_range_subtype(get_multirange_range(type)));
        case TYPTYPE_COMPOSITE: {
            TupleDesc tupdesc = lookup_rowtype_tupdesc_copy(type, -1);
            for (int i = 0; i < tupdesc->natts; i++) {
                Form_pg_attribute attribute = TupleDescAttr(tupdesc, i);
                if (!attribute->attisdropped && has_names(attribute->atttypid))
                    return true;
            }
            return false;
        }
        default:
            break;
    }
    if (OidIsValid(get_element_type(type)))
        return has_names(get_element_type(type));
    // The built-in types with this prefix, and no others.
    return type < FirstGenbkiObjectId && strncmp(format_type_be(type), "reg", 3) == 0;
}

bool is_name_type(Oid type) {
    return SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(type)) && has_names(type);
}

bool is_copied(const RowShape &shape, const char *column) {
    for (int i = 0; i < shape.ncolumns; i++) {
        if (strcmp(shape.columns[i], column) == 0)
            return true;
    }
    return false;
}

}  // namespace

bool prints_names(const RowShape &shape, const SourceColumns &columns) {
    for (int i = 0; i < shape.ncolumns; i++) {
        if (is_name_type(shape.types[i]))
            return true;
    }
    // Composite types are equal on both sides, so the attributes of one side suffice.
    for (int i = 0; i < columns.count; i++) {
        if (columns.columns[i].built_in && is_copied(shape, columns.columns[i].name) &&
            is_name_type(columns.columns[i].type))
            return true;
    }
    return false;
}

}  // namespace fastcopy::plan
