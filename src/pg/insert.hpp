// What PostgreSQL's executor offers for inserting rows, with one face for all its versions.
#ifndef FASTCOPY_PG_INSERT_HPP
#define FASTCOPY_PG_INSERT_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

// Gives the executor the range table of a parse state.
inline void init_range_table(EState *estate, const ParseState *pstate) {
#if PG_VERSION_NUM >= 180000
    ExecInitRangeTable(estate, pstate->p_rtable, pstate->p_rteperminfos, bms_make_singleton(1));
#elif PG_VERSION_NUM >= 160000
    ExecInitRangeTable(estate, pstate->p_rtable, pstate->p_rteperminfos);
#else
    ExecInitRangeTable(estate, pstate->p_rtable);
#endif
}

// Makes the index entries of a row that has been inserted. No index may be deferrable.
inline void insert_index_entries(ResultRelInfo *relation, TupleTableSlot *slot, EState *estate) {
#if PG_VERSION_NUM >= 160000
    list_free(ExecInsertIndexTuples(relation, slot, estate, false, false, nullptr, NIL, false));
#else
    list_free(ExecInsertIndexTuples(relation, slot, estate, false, false, nullptr, NIL));
#endif
}

// How the columns of a partitioned table become those of a partition that a row was routed to; nullptr if they
// are the same.
inline const AttrMap *map_to_leaf(ResultRelInfo *leaf, EState *estate) {
#if PG_VERSION_NUM >= 160000
    TupleConversionMap *map = ExecGetRootToChildMap(leaf, estate);
#else
    (void)estate;
    TupleConversionMap *map = leaf->ri_RootToPartitionMap;
#endif
    return map != nullptr ? map->attrMap : nullptr;
}

}  // namespace fastcopy::pg

#endif
