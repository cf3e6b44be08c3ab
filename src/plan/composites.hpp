// Composite types of both sides, compared.
//
// Columns match by name, but the attributes of a composite value by their places: COPY writes (1,2)
// and says no more. Where the two sides have declared a type's attributes in different orders,
// values would change places without a word. So each composite type of a copied column must have
// the same attributes, by name and order, on both sides: also where it is nested in another, or
// below an array, a domain or a range. What types the attributes have is left to the text form, as
// for columns.
#ifndef FASTCOPY_PLAN_COMPOSITES_HPP
#define FASTCOPY_PLAN_COMPOSITES_HPP

#include "plan/chunk.hpp"
#include "plan/source_table.hpp"

namespace fastcopy::plan {

// An ERROR that names column, type and attribute if a copied column's composite types differ. Asks
// the source only if the target has such types.
void check_composites(source::Connection *connection, const SourceTable &table,
                      const RowShape &shape, Relation target);

}  // namespace fastcopy::plan

#endif
