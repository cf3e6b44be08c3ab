#include "sink/foreign_keys.hpp"

#include "pg/foreign_key.hpp"
#include "sink/across_rows.hpp"
#include "sink/local_sql.hpp"

namespace fastcopy::sink {

namespace {

Form_pg_constraint form_of(HeapTuple tuple) {
    return reinterpret_cast<Form_pg_constraint>(GETSTRUCT(tuple));
}

// The key of the parent table that this one is inherited from; InvalidOid if it is not inherited.
Oid parent_of(Oid foreign_key) {
    HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(foreign_key));
    if (!HeapTupleIsValid(tuple))
        return InvalidOid;
    Oid parent = form_of(tuple)->conparentid;
    ReleaseSysCache(tuple);
    return parent;
}

bool descends_from(Oid foreign_key, Oid ancestor) {
    while (OidIsValid(foreign_key)) {
        if (foreign_key == ancestor)
            return true;
        foreign_key = parent_of(foreign_key);
    }
    return false;
}

// Calls the function for each foreign key of the table.
template <typename Function>
void for_each_key(Relation catalog, Oid table, Function function) {
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
                ObjectIdGetDatum(table));
    SysScanDesc scan =
        systable_beginscan(catalog, ConstraintRelidTypidNameIndexId, true, nullptr, 1, &key);
    while (HeapTuple tuple = systable_getnext(scan)) {
        if (form_of(tuple)->contype == CONSTRAINT_FOREIGN)
            function(tuple);
    }
    systable_endscan(scan);
}

bool is_valid(Form_pg_constraint key, const List *left_aside) {
    return key->convalidated || list_member_oid(left_aside, key->oid);
}

// The trigger by which all rows are checked, as in core's validateForeignKeyConstraint.
Trigger trigger_of(const FormData_pg_constraint &key) {
    Trigger trigger{};
    trigger.tgname = pstrdup(NameStr(key.conname));
    trigger.tgenabled = TRIGGER_FIRES_ON_ORIGIN;
    trigger.tgisinternal = true;
    trigger.tgconstrrelid = key.confrelid;
    trigger.tgconstrindid = key.conindid;
    trigger.tgconstraint = key.oid;
    return trigger;
}

// Checks row by row, each as the owner of the referenced table; for owners that may not read that
// table.
void check_rows(Trigger *trigger, Relation table) {
    Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
    TupleTableSlot *slot = table_slot_create(table, nullptr);
    TableScanDesc scan = table_beginscan_strat(table, snapshot, 0, nullptr, true, true);
    MemoryContext per_row =
        AllocSetContextCreate(CurrentMemoryContext, "fastcopy foreign key", ALLOCSET_SMALL_SIZES);
    MemoryContext old = MemoryContextSwitchTo(per_row);
    while (table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
        CHECK_FOR_INTERRUPTS();
        TriggerData data{};
        data.type = T_TriggerData;
        data.tg_event = TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW;
        data.tg_relation = table;
        data.tg_trigtuple = ExecFetchSlotHeapTuple(slot, false, nullptr);
        data.tg_trigslot = slot;
        data.tg_trigger = trigger;
        LOCAL_FCINFO(call, 0);
        InitFunctionCallInfoData(*call, nullptr, 0, InvalidOid, reinterpret_cast<Node *>(&data),
                                 nullptr);
        (void)RI_FKey_check_ins(call);
        MemoryContextReset(per_row);
    }
    MemoryContextSwitchTo(old);
    MemoryContextDelete(per_row);
    table_endscan(scan);
    UnregisterSnapshot(snapshot);
    ExecDropSingleTupleTableSlot(slot);
}

// Checks each partition by the key that it inherits.
void check_rows_of_parts(const FormData_pg_constraint &key) {
    List *relids = find_all_inheritors(key.conrelid, AccessShareLock, nullptr);
    Relation catalog = table_open(ConstraintRelationId, AccessShareLock);
    ListCell *cell;
    foreach (cell, relids) {
        Relation table = table_open(lfirst_oid(cell), NoLock);
        if (RELKIND_HAS_STORAGE(table->rd_rel->relkind)) {
            Trigger trigger{};
            for_each_key(catalog, lfirst_oid(cell), [&](HeapTuple tuple) {
                if (form_of(tuple)->confrelid == key.confrelid &&
                    descends_from(form_of(tuple)->oid, key.oid))
                    trigger = trigger_of(*form_of(tuple));
            });
            if (OidIsValid(trigger.tgconstraint))
                check_rows(&trigger, table);
        }
        table_close(table, NoLock);
    }
    table_close(catalog, AccessShareLock);
}

// The keys that this process does not check, while a transaction has the tables open.
struct Unchecked {
    int tables;
    Relation *open;
    int keys;
    Oid *key_oids;  // with those of partitions
};
Unchecked unchecked{};

// Changes the relation cache only. PostgreSQL rebuilds an entry when it is invalidated, which any
// ANALYZE does.
void enable_triggers(char enabled) {
    for (int i = 0; i < unchecked.tables; i++) {
        TriggerDesc *triggers = unchecked.open[i]->trigdesc;
        for (int j = 0; triggers != nullptr && j < triggers->numtriggers; j++) {
            Trigger *trigger = &triggers->triggers[j];
            for (int k = 0; k < unchecked.keys; k++) {
                if (trigger->tgconstraint == unchecked.key_oids[k] &&
                    RI_FKey_trigger_type(trigger->tgfoid) == RI_TRIGGER_FK)
                    trigger->tgenabled = enabled;
            }
        }
    }
}

void disable_again(Datum, Oid) noexcept {
    enable_triggers(TRIGGER_DISABLED);
}

// Called before the end of a failed transaction closes the tables.
void forget_tables(XactEvent event, void *) noexcept {
    if (event == XACT_EVENT_ABORT)
        unchecked.tables = 0;
}

}  // namespace

job::TargetForeignKeys find_foreign_keys(Oid target, Which which, const List *left_aside) {
    job::TargetForeignKeys all{};
    int capacity = 0;
    List *relids = find_all_inheritors(target, AccessShareLock, nullptr);
    Relation catalog = table_open(ConstraintRelationId, AccessShareLock);
    ListCell *cell;
    foreach (cell, relids) {
        for_each_key(catalog, lfirst_oid(cell), [&](HeapTuple tuple) {
            Form_pg_constraint key = form_of(tuple);
            HeapTuple parent = OidIsValid(key->conparentid)
                                   ? SearchSysCache1(CONSTROID, ObjectIdGetDatum(key->conparentid))
                                   : nullptr;
            bool valid = is_valid(key, left_aside);
            // From version 18 on, a partition's key may be valid while its parent's is not.
            bool by_parent = HeapTupleIsValid(parent) &&
                             list_member_oid(relids, form_of(parent)->conrelid) &&
                             (!valid || is_valid(form_of(parent), left_aside));
            if (HeapTupleIsValid(parent))
                ReleaseSysCache(parent);
            if (by_parent || (!valid && which != Which::all) ||
                (which == Which::valid_to_itself && !is_same_table(target, key->confrelid)))
                return;
            if (all.count == capacity) {
                capacity = Max(8, capacity * 2);
                Size size = sizeof(job::TargetForeignKey) * capacity;
                all.keys = static_cast<job::TargetForeignKey *>(
                    all.keys == nullptr ? palloc(size) : repalloc(all.keys, size));
            }
            Datum definition =
                DirectFunctionCall1(pg_get_constraintdef, ObjectIdGetDatum(key->oid));
            all.keys[all.count++] = job::TargetForeignKey{key->oid, pstrdup(NameStr(key->conname)),
                                                          quoted_relation(key->conrelid),
                                                          TextDatumGetCString(definition), valid};
        });
    }
    table_close(catalog, AccessShareLock);
    return all;
}

void set_validated(Oid foreign_key, bool validated) {
    HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(foreign_key));
    if (!HeapTupleIsValid(tuple))
        return;
    Oid table = form_of(tuple)->conrelid;
    ReleaseSysCache(tuple);
    List *relids = find_all_inheritors(table, NoLock, nullptr);
    Relation catalog = table_open(ConstraintRelationId, RowExclusiveLock);
    ListCell *cell;
    foreach (cell, relids) {
        for_each_key(catalog, lfirst_oid(cell), [&](HeapTuple found) {
            if (form_of(found)->convalidated == validated ||
                !descends_from(form_of(found)->oid, foreign_key))
                return;
            HeapTuple copy = heap_copytuple(found);
            form_of(copy)->convalidated = validated;
            CatalogTupleUpdate(catalog, &copy->t_self, copy);
            heap_freetuple(copy);
            CacheInvalidateRelcacheByRelid(lfirst_oid(cell));
        });
    }
    table_close(catalog, RowExclusiveLock);
    // Another key of the same transaction may have some of these among its own.
    CommandCounterIncrement();
}

List *find_keys_not_valid(Oid table, const char *definition) {
    List *keys = NIL;
    List *relids = find_all_inheritors(table, NoLock, nullptr);
    Relation catalog = table_open(ConstraintRelationId, AccessShareLock);
    ListCell *cell;
    foreach (cell, relids) {
        for_each_key(catalog, lfirst_oid(cell), [&](HeapTuple tuple) {
            Form_pg_constraint key = form_of(tuple);
            if (key->convalidated || OidIsValid(key->conparentid))
                return;
            Datum printed = DirectFunctionCall1(pg_get_constraintdef, ObjectIdGetDatum(key->oid));
            if (strcmp(TextDatumGetCString(printed), definition) == 0)
                keys = lappend_oid(keys, key->oid);
        });
    }
    table_close(catalog, AccessShareLock);
    return keys;
}

bool is_inherited(Oid foreign_key) {
    return OidIsValid(parent_of(foreign_key));
}

void keep_aside(Oid foreign_key) {
    HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(foreign_key));
    if (!HeapTupleIsValid(tuple))
        return;
    Oid table = form_of(tuple)->conrelid;
    ReleaseSysCache(tuple);
    // The lock of VALIDATE CONSTRAINT, of the table or of a partition: none is under way that has
    // not seen all rows.
    LockRelationOid(table, ShareUpdateExclusiveLock);
    (void)find_all_inheritors(table, ShareUpdateExclusiveLock, nullptr);
    set_validated(foreign_key, false);
}

bool is_set_aside(Oid foreign_key) {
    HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(foreign_key));
    if (!HeapTupleIsValid(tuple))
        return false;
    bool aside = !form_of(tuple)->convalidated;
    ReleaseSysCache(tuple);
    return aside;
}

bool check_foreign_key(Oid foreign_key) {
    HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(foreign_key));
    if (!HeapTupleIsValid(tuple))
        return false;
    FormData_pg_constraint key = *form_of(tuple);
    ReleaseSysCache(tuple);
    Relation table = try_relation_open(key.conrelid, ShareUpdateExclusiveLock);
    if (table == nullptr)
        return false;
    (void)find_all_inheritors(key.conrelid, ShareUpdateExclusiveLock, nullptr);
    Relation referenced = table_open(key.confrelid, RowShareLock);

    // Run the query as the table's owner, as PostgreSQL runs those of triggers: the job's role may
    // lack SELECT.
    Oid role;
    int context;
    GetUserIdAndSecContext(&role, &context);
    SetUserIdAndSecContext(table->rd_rel->relowner, context | SECURITY_LOCAL_USERID_CHANGE |
                                                        SECURITY_RESTRICTED_OPERATION |
                                                        SECURITY_NOFORCE_RLS);
    Trigger trigger = trigger_of(key);
    if (pg::is_temporal(key) || !RI_Initial_Check(&trigger, table, referenced))
        check_rows_of_parts(key);
    SetUserIdAndSecContext(role, context);
    table_close(referenced, NoLock);
    table_close(table, NoLock);
    return true;
}

void leave_unchecked(Oid target, const Oid *foreign_keys, int count) {
    static bool registered = false;
    unchecked.tables = 0;
    if (count == 0)
        return;
    if (!registered) {
        CacheRegisterRelcacheCallback(disable_again, 0);
        RegisterXactCallback(forget_tables, nullptr);
        registered = true;
    }
    List *relids = find_all_inheritors(target, RowExclusiveLock, nullptr);
    unchecked.open =
        static_cast<Relation *>(palloc(sizeof(Relation) * Max(list_length(relids), 1)));
    unchecked.key_oids = nullptr;
    unchecked.keys = 0;
    int capacity = 0;
    Relation catalog = table_open(ConstraintRelationId, AccessShareLock);
    ListCell *cell;
    foreach (cell, relids) {
        for_each_key(catalog, lfirst_oid(cell), [&](HeapTuple tuple) {
            bool ours = false;
            for (int i = 0; i < count && !ours; i++)
                ours = descends_from(form_of(tuple)->oid, foreign_keys[i]);
            // If it was validated by hand since, it must hold for all new rows.
            if (!ours || form_of(tuple)->convalidated)
                return;
            if (unchecked.keys == capacity) {
                capacity = Max(8, capacity * 2);
                Size size = sizeof(Oid) * capacity;
                unchecked.key_oids = static_cast<Oid *>(unchecked.key_oids == nullptr
                                                            ? palloc(size)
                                                            : repalloc(unchecked.key_oids, size));
            }
            unchecked.key_oids[unchecked.keys++] = form_of(tuple)->oid;
        });
    }
    table_close(catalog, AccessShareLock);
    foreach (cell, relids) {
        unchecked.open[unchecked.tables] = table_open(lfirst_oid(cell), NoLock);
        unchecked.tables++;
    }
    enable_triggers(TRIGGER_DISABLED);
}

void check_again() {
    enable_triggers(TRIGGER_FIRES_ON_ORIGIN);
    int tables = unchecked.tables;
    unchecked.tables = 0;
    for (int i = 0; i < tables; i++)
        table_close(unchecked.open[i], NoLock);
}

}  // namespace fastcopy::sink
