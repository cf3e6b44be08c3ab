#include "sink/indexes.hpp"

#include "sink/local_sql.hpp"

namespace fastcopy::sink {

namespace {

void add_indexes_of(Oid relid, job::TargetIndexes *all) {
    Relation table = table_open(relid, AccessExclusiveLock);
    List *oids = RelationGetIndexList(table);
    if (oids != NIL && !pg_class_ownercheck(relid, GetUserId()))
        aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, RelationGetRelationName(table));
    Size size = sizeof(job::TargetIndex) * Max(all->count + list_length(oids), 1);
    all->indexes = static_cast<job::TargetIndex *>(
        all->indexes == nullptr ? palloc(size) : repalloc(all->indexes, size));
    ListCell *cell;
    foreach (cell, oids) {
        Oid oid = lfirst_oid(cell);
        Datum definition = DirectFunctionCall1(pg_get_indexdef, ObjectIdGetDatum(oid));
        all->indexes[all->count++] =
            job::TargetIndex{oid, quoted_relation(oid), TextDatumGetCString(definition)};
    }
    table_close(table, NoLock);
}

}  // namespace

job::TargetIndexes find_indexes(Oid target) {
    job::TargetIndexes all{};
    List *relids = find_all_inheritors(target, AccessExclusiveLock, nullptr);
    ListCell *cell;
    foreach (cell, relids) {
        // A partitioned table's own indexes have no storage, and nothing to build.
        char relkind = get_rel_relkind(lfirst_oid(cell));
        if (relkind == RELKIND_RELATION)
            add_indexes_of(lfirst_oid(cell), &all);
    }
    return all;
}

void set_aside(Oid index) {
    HeapTuple tuple = SearchSysCacheCopy1(INDEXRELID, ObjectIdGetDatum(index));
    if (!HeapTupleIsValid(tuple))
        return;
    auto *form = reinterpret_cast<Form_pg_index>(GETSTRUCT(tuple));
    Relation catalog = table_open(IndexRelationId, RowExclusiveLock);
    form->indisvalid = false;
    form->indisready = false;
    CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
    CacheInvalidateRelcacheByRelid(form->indrelid);
    table_close(catalog, RowExclusiveLock);
    heap_freetuple(tuple);
}

bool needs_no_build(Oid index) {
    HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
    if (!HeapTupleIsValid(tuple))
        return true;
    auto *form = reinterpret_cast<Form_pg_index>(GETSTRUCT(tuple));
    bool in_use = form->indisvalid && form->indisready;
    ReleaseSysCache(tuple);
    return in_use;
}

void rebuild(Oid index) {
    run_local(psprintf("REINDEX INDEX %s", quoted_relation(index)));
}

}  // namespace fastcopy::sink
