#include "sink/indexes.hpp"

#include <algorithm>

#include "pg/acl.hpp"
#include "sink/local_sql.hpp"

namespace fastcopy::sink {

namespace {

// A rough measure of the time to build the index: the cost of a comparison. Sorting by a locale
// takes ten times as long as sorting numbers, and indexes other than btree take longer still.
int cost_of(Oid oid) {
    constexpr int by_locale = 10;
    constexpr int by_bytes = 2;
    constexpr int other_method = 20;
    Relation index = index_open(oid, AccessShareLock);
    int cost = index->rd_rel->relam == BTREE_AM_OID ? 0 : other_method;
    for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++) {
        Oid collation = index->rd_indcollation[i];
        if (OidIsValid(collation) && collation != C_COLLATION_OID)
            cost += by_locale;
        else
            cost += TupleDescAttr(RelationGetDescr(index), i)->attlen < 0 ? by_bytes : 1;
    }
    index_close(index, NoLock);
    return cost;
}

void add_indexes_of(Oid relid, job::TargetIndexes *all) {
    Relation table = table_open(relid, NoLock);
    List *oids = RelationGetIndexList(table);
    if (oids != NIL) {
        AclResult access = pg::check_maintenance(relid, GetUserId());
        if (access != ACLCHECK_OK)
            aclcheck_error(access, OBJECT_TABLE, RelationGetRelationName(table));
    }
    Size size = sizeof(job::TargetIndex) * Max(all->count + list_length(oids), 1);
    all->indexes = static_cast<job::TargetIndex *>(
        all->indexes == nullptr ? palloc(size) : repalloc(all->indexes, size));
    ListCell *cell;
    foreach (cell, oids) {
        Oid oid = lfirst_oid(cell);
        Datum definition = DirectFunctionCall1(pg_get_indexdef, ObjectIdGetDatum(oid));
        all->indexes[all->count++] = job::TargetIndex{
            oid, quoted_relation(oid), TextDatumGetCString(definition), cost_of(oid)};
    }
    table_close(table, NoLock);
}

}  // namespace

job::TargetIndexes list_indexes(Oid target) {
    job::TargetIndexes all{};
    List *relids = find_all_inheritors(target, NoLock, nullptr);
    ListCell *cell;
    foreach (cell, relids) {
        // A partitioned table's own indexes have no storage, and nothing to build.
        Oid relid = lfirst_oid(cell);
        if (get_rel_relkind(relid) == RELKIND_RELATION &&
            get_rel_persistence(relid) != RELPERSISTENCE_TEMP)
            add_indexes_of(relid, &all);
    }
    // The most expensive first, so that all workers finish at about the same time.
    std::sort(all.indexes, all.indexes + all.count,
              [](const job::TargetIndex &a, const job::TargetIndex &b) {
                  return a.cost != b.cost ? a.cost > b.cost : a.oid < b.oid;
              });
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

bool is_usable_or_gone(Oid index) {
    HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
    if (!HeapTupleIsValid(tuple))
        return true;
    auto *form = reinterpret_cast<Form_pg_index>(GETSTRUCT(tuple));
    bool in_use = form->indisvalid && form->indisready;
    ReleaseSysCache(tuple);
    return in_use;
}

bool lock_for_build(Oid index) {
    Oid table = IndexGetRelation(index, true);
    if (!OidIsValid(table))
        return false;
    AclResult access = pg::check_maintenance(table, GetUserId());
    if (access != ACLCHECK_OK)
        aclcheck_error(access, OBJECT_TABLE, get_rel_name(table));
    // In the order of DROP INDEX and REINDEX. With both locks held, the index cannot be dropped or
    // renamed.
    LockRelationOid(table, ShareLock);
    LockRelationOid(index, AccessExclusiveLock);
    return SearchSysCacheExists1(INDEXRELID, ObjectIdGetDatum(index));
}

void rebuild(Oid index) {
    run_local(psprintf("REINDEX INDEX %s", quoted_relation(index)));
}

}  // namespace fastcopy::sink
