#include "sink/across_rows.hpp"

namespace fastcopy::sink {

namespace {

bool fires_now(const Trigger &trigger) {
    bool replica = SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA;
    switch (trigger.tgenabled) {
        case TRIGGER_FIRES_ALWAYS:
            return true;
        case TRIGGER_FIRES_ON_ORIGIN:
            return !replica;
        case TRIGGER_FIRES_ON_REPLICA:
            return replica;
        default:
            return false;
    }
}

bool is_validated(Oid constraint) {
    HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
    if (!HeapTupleIsValid(tuple))
        return false;
    bool validated = reinterpret_cast<Form_pg_constraint>(GETSTRUCT(tuple))->convalidated;
    ReleaseSysCache(tuple);
    return validated;
}

constexpr const char *key_to_itself = "foreign key to the table itself";

// The kind of constraint that the trigger enforces across rows; nullptr: none.
const char *kind_of(Oid target, const Trigger &trigger, bool *rebuild_would_do) {
    *rebuild_would_do = false;
    if (!OidIsValid(trigger.tgconstraint) || (trigger.tgtype & TRIGGER_TYPE_INSERT) == 0 ||
        !fires_now(trigger))
        return nullptr;
    if (!trigger.tgisinternal)
        return "constraint trigger";
    if (trigger.tgfoid == F_UNIQUE_KEY_RECHECK) {
        *rebuild_would_do = true;
        return trigger.tginitdeferred ? "deferred constraint" : nullptr;
    }
    if (RI_FKey_trigger_type(trigger.tgfoid) == RI_TRIGGER_FK &&
        is_same_table(target, trigger.tgconstrrelid)) {
        *rebuild_would_do = is_validated(trigger.tgconstraint);
        return key_to_itself;
    }
    return nullptr;
}

}  // namespace

bool is_same_table(Oid target, Oid other) {
    if (target == other)
        return true;
    List *parts = find_all_inheritors(target, NoLock, nullptr);
    bool same = list_member_oid(parts, other);
    if (!same && get_rel_relispartition(target))
        same = list_member_oid(get_partition_ancestors(target), other);
    return same;
}

AcrossRows find_across_rows(Oid target, SetAside set_aside) {
    AcrossRows found{};
    List *relids = find_all_inheritors(target, NoLock, nullptr);
    ListCell *cell;
    foreach (cell, relids) {
        // The lock is released at once: the transaction may later need an exclusive one.
        Relation table = try_relation_open(lfirst_oid(cell), AccessShareLock);
        if (table == nullptr)
            continue;
        int count = table->trigdesc != nullptr ? table->trigdesc->numtriggers : 0;
        for (int i = 0; i < count && found.name == nullptr; i++) {
            const Trigger &trigger = table->trigdesc->triggers[i];
            bool rebuild_would_do;
            const char *kind = kind_of(target, trigger, &rebuild_would_do);
            if (kind == nullptr || (rebuild_would_do && set_aside.indexes) ||
                (kind == key_to_itself && set_aside.all_foreign_keys))
                continue;
            const char *name = get_constraint_name(trigger.tgconstraint);
            found = AcrossRows{name != nullptr ? name : pstrdup(trigger.tgname),
                               pstrdup(RelationGetRelationName(table)), kind, rebuild_would_do};
        }
        relation_close(table, AccessShareLock);
    }
    return found;
}

}  // namespace fastcopy::sink
