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

}  // namespace fastcopy::pg

#endif
