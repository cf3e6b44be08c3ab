#include "pg/analyze.hpp"

namespace fastcopy::pg {

namespace {

BufferAccessStrategy ring() {
    static BufferAccessStrategy strategy = nullptr;
    if (strategy == nullptr) {
        MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
        strategy = GetAccessStrategy(BAS_VACUUM);
        MemoryContextSwitchTo(old);
    }
    return strategy;
}

}  // namespace

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
    vacuum(relations, &params, ring(), context, false);
    MemoryContextDelete(context);
#else
    vacuum(relations, &params, ring(), false);
#endif
}

}  // namespace fastcopy::pg
