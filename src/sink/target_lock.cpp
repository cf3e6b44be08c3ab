#include "sink/target_lock.hpp"

#include "pg/acl.hpp"

namespace fastcopy::sink {

namespace {

void add_parents(Oid relid, List **family) {
    Relation inherits = table_open(InheritsRelationId, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
                ObjectIdGetDatum(relid));
    SysScanDesc scan =
        systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, nullptr, 1, &key);
    List *parents = NIL;
    while (HeapTuple tuple = systable_getnext(scan))
        parents =
            lappend_oid(parents, reinterpret_cast<Form_pg_inherits>(GETSTRUCT(tuple))->inhparent);
    systable_endscan(scan);
    table_close(inherits, AccessShareLock);
    ListCell *cell;
    foreach (cell, parents) {
        if (list_member_oid(*family, lfirst_oid(cell)))
            continue;
        *family = lappend_oid(*family, lfirst_oid(cell));
        add_parents(lfirst_oid(cell), family);
    }
}

void check_may_maintain(Oid relid, Maintenance maintenance) {
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
    if (!HeapTupleIsValid(tuple))
        return;  // dropped meanwhile
    auto *form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
    bool indexed = form->relhasindex;
    ReleaseSysCache(tuple);
    if (!indexed && maintenance == Maintenance::of_indexes)
        return;
    AclResult access = pg::check_maintenance(relid, GetUserId());
    if (access != ACLCHECK_OK)
        aclcheck_error(access, get_relkind_objtype(get_rel_relkind(relid)), get_rel_name(relid));
}

}  // namespace

std::span<const Oid> read_family(Oid relid) {
    List *family = find_all_inheritors(relid, NoLock, nullptr);
    add_parents(relid, &family);
    auto *oids = static_cast<Oid *>(palloc(sizeof(Oid) * list_length(family)));
    size_t count = 0;
    ListCell *cell;
    foreach (cell, family)
        oids[count++] = lfirst_oid(cell);
    return {oids, count};
}

void check_may_write(Oid relid, bool truncate, Maintenance maintenance) {
    const char *name = get_rel_name(relid);
    if (name == nullptr)
        return;  // opening it raises the error
    ObjectType type = get_relkind_objtype(get_rel_relkind(relid));
    AclResult insert = pg_class_aclcheck(relid, GetUserId(), ACL_INSERT);
    if (insert != ACLCHECK_OK)
        insert = pg_attribute_aclcheck_all(relid, GetUserId(), ACL_INSERT, ACLMASK_ANY);
    if (insert != ACLCHECK_OK)
        aclcheck_error(insert, type, name);
    if (truncate) {
        AclResult result = pg_class_aclcheck(relid, GetUserId(), ACL_TRUNCATE);
        if (result != ACLCHECK_OK)
            aclcheck_error(result, type, name);
    }
    if (maintenance != Maintenance::none) {
        List *relids = find_all_inheritors(relid, NoLock, nullptr);
        ListCell *cell;
        foreach (cell, relids)
            check_may_maintain(lfirst_oid(cell), maintenance);
    }
}

void lock_exclusively(Oid relid) {
    LockRelationOid(relid, AccessExclusiveLock);
    (void)find_all_inheritors(relid, AccessExclusiveLock, nullptr);
}

}  // namespace fastcopy::sink
