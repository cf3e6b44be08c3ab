#include "plan/type_parts.hpp"

namespace fastcopy::plan {

Oid inner_type(Oid type) {
    switch (get_typtype(type)) {
        case TYPTYPE_DOMAIN:
            return getBaseType(type);
        case TYPTYPE_RANGE:
            return get_range_subtype(type);
        case TYPTYPE_MULTIRANGE:
            return get_range_subtype(get_multirange_range(type));
        default:
            return get_element_type(type);
    }
}

}  // namespace fastcopy::plan
