#include "pg/analyze.hpp"

#include "pg/buffer_ring.hpp"

namespace fastcopy::pg {

void analyze_only(Oid relid) {
    VacuumParams params{};
    params.options = VACOPT_ANALYZE;
#if PG_VERSION_NUM >= 190000
    params.log_vacuum_min_duration = -1;
    params.log_analyze_min_duration = -1;
#else
    params.log_min_duration = -1;
#endif
    List *relations = list_make1(makeVacuumRelation(nullptr, relid, NIL));
#if PG_VERSION_NUM >= 160000
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "fastcopy analyze", ALLOCSET_DEFAULT_SIZES);
    vacuum(relations, &params, buffer_ring(BAS_VACUUM), context, false);
    MemoryContextDelete(context);
#else
    vacuum(relations, &params, buffer_ring(BAS_VACUUM), false);
#endif
}

}  // namespace fastcopy::pg
