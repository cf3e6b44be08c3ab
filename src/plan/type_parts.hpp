// What types of this database consist of: domains, arrays, ranges and composite types, down to base
// types.
#ifndef FASTCOPY_PLAN_TYPE_PARTS_HPP
#define FASTCOPY_PLAN_TYPE_PARTS_HPP

#include "pg/postgres.hpp"

namespace fastcopy::plan {

// What a domain, an array, a range or a multirange is made of; InvalidOid for any other type.
Oid inner_type(Oid type);

// Whether the predicate holds for the type or for anything that it is made of.
template <typename Predicate>
bool any_part(Oid type, Predicate holds) {
    check_stack_depth();
    if (holds(type))
        return true;
    if (get_typtype(type) == TYPTYPE_COMPOSITE) {
        TupleDesc attributes = lookup_rowtype_tupdesc_copy(type, -1);
        for (int i = 0; i < attributes->natts; i++) {
            Form_pg_attribute attribute = TupleDescAttr(attributes, i);
            if (!attribute->attisdropped && any_part(attribute->atttypid, holds))
                return true;
        }
        return false;
    }
    Oid inner = inner_type(type);
    return OidIsValid(inner) && any_part(inner, holds);
}

}  // namespace fastcopy::plan

#endif
