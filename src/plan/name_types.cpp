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
    // All of PostgreSQL's own types of this name, and no others, are such.
    return type < FirstGenbkiObjectId && strncmp(format_type_be(type), "reg", 3) == 0;
}

}  // namespace

bool prints_names(const RowShape &shape) {
    for (int i = 0; i < shape.ncolumns; i++) {
        if (SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(shape.types[i])) &&
            has_names(shape.types[i]))
            return true;
    }
    return false;
}

}  // namespace fastcopy::plan
