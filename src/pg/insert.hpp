// The parts of PostgreSQL's executor that insert rows, with the same functions on all versions.
#ifndef FASTCOPY_PG_INSERT_HPP
#define FASTCOPY_PG_INSERT_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

// The privileges that a range table entry requires.
#if PG_VERSION_NUM >= 160000
using Permissions = RTEPermissionInfo;
#else
using Permissions = RangeTblEntry;
#endif

inline Permissions *permissions_of(const ParseNamespaceItem *item) {
#if PG_VERSION_NUM >= 160000
    return item->p_perminfo;
#else
    return item->p_rte;
#endif
}

// Checks that the current role has the privileges that the relations of a parse state require. An
// ERROR if one is missing.
inline void check_permissions(const ParseState *pstate) {
#if PG_VERSION_NUM >= 160000
    (void)ExecCheckPermissions(pstate->p_rtable, pstate->p_rteperminfos, true);
#else
    (void)ExecCheckRTPerms(pstate->p_rtable, true);
#endif
}

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

// An ERROR if the executor cannot insert into the relation.
inline void check_insert_relation(ResultRelInfo *relation) {
#if PG_VERSION_NUM >= 180000
    CheckValidResultRel(relation, CMD_INSERT, ONCONFLICT_NONE, NIL);
#elif PG_VERSION_NUM >= 170000
    CheckValidResultRel(relation, CMD_INSERT, NIL);
#else
    CheckValidResultRel(relation, CMD_INSERT);
#endif
}

// Inserts the index entries of a row. No index may be deferrable.
inline void insert_index_entries(ResultRelInfo *relation, TupleTableSlot *slot, EState *estate) {
#if PG_VERSION_NUM >= 190000
    list_free(ExecInsertIndexTuples(relation, estate, 0, slot, NIL, nullptr));
#elif PG_VERSION_NUM >= 160000
    list_free(ExecInsertIndexTuples(relation, slot, estate, false, false, nullptr, NIL, false));
#else
    list_free(ExecInsertIndexTuples(relation, slot, estate, false, false, nullptr, NIL));
#endif
}

// The map from the columns of a partitioned table to those of a partition that a row was routed to;
// nullptr if they are the same.
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
