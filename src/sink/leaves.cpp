#include "sink/leaves.hpp"

#include "pg/insert.hpp"

namespace fastcopy::sink {

namespace {

constexpr int first_capacity = 64;

bool fires_on_insert(const TriggerDesc *triggers) {
    return triggers != nullptr &&
           (triggers->trig_insert_before_row || triggers->trig_insert_after_row ||
            triggers->trig_insert_instead_row || triggers->trig_insert_before_statement ||
            triggers->trig_insert_after_statement || triggers->trig_insert_new_table);
}

// Checks a partition in the catalog, without a lock: it may have been dropped meanwhile.
bool looks_plain(Oid partition) {
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(partition));
    if (!HeapTupleIsValid(tuple))
        return true;
    auto *form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
    bool plain = !form->relhastriggers &&
                 (form->relkind == RELKIND_PARTITIONED_TABLE ||
                  (form->relkind == RELKIND_RELATION && form->relam == HEAP_TABLE_AM_OID));
    ReleaseSysCache(tuple);
    return plain;
}

bool is_plain(Relation leaf) {
    return leaf->rd_rel->relkind == RELKIND_RELATION && leaf->rd_rel->relam == HEAP_TABLE_AM_OID &&
           !fires_on_insert(leaf->trigdesc);
}

void init_leaf(Leaves *leaves, Leaf *leaf, ResultRelInfo *relation) {
    MemoryContext old = MemoryContextSwitchTo(leaves->estate->es_query_cxt);
    memset(leaf, 0, sizeof(*leaf));
    leaf->relation = relation;
    if (const TupleConstr *constraints = RelationGetDescr(relation->ri_RelationDesc)->constr) {
        leaf->has_constraints = true;
        leaf->has_generated = constraints->has_generated_stored;
    }
    leaf->has_bounds =
        leaves->routes == nullptr && relation->ri_RelationDesc->rd_rel->relispartition;
    leaf->map = leaves->routes != nullptr ? pg::map_to_leaf(relation, leaves->estate) : nullptr;
    // Each slot would pin the original, and the resource owner's search for a pin is linear.
    if (leaf->map != nullptr)
        leaf->tupdesc = CreateTupleDescCopyConstr(RelationGetDescr(relation->ri_RelationDesc));
    leaf->capacity = first_capacity;
    leaf->slots = static_cast<TupleTableSlot **>(palloc(sizeof(*leaf->slots) * leaf->capacity));
    leaf->lines = static_cast<uint64 *>(palloc(sizeof(*leaf->lines) * leaf->capacity));
    MemoryContextSwitchTo(old);
}

Leaf *know_leaf(Leaves *leaves, ResultRelInfo *relation) {
    bool found;
    auto *leaf = static_cast<Leaf *>(hash_search(leaves->known, &relation, HASH_ENTER, &found));
    if (found)
        return leaf;
    if (!is_plain(relation->ri_RelationDesc))
        ereport(ERROR,
                (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                 errmsg("partition \"%s\" of the target was altered while rows were copied into it",
                        RelationGetRelationName(relation->ri_RelationDesc))));
    init_leaf(leaves, leaf, relation);
    return leaf;
}

}  // namespace

bool has_plain_leaves(Relation target) {
    if (fires_on_insert(target->trigdesc))
        return false;
    if (target->rd_rel->relkind == RELKIND_RELATION)
        return true;
    if (target->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
        return false;
    List *relids = find_all_inheritors(RelationGetRelid(target), NoLock, nullptr);
    ListCell *cell;
    foreach (cell, relids) {
        Oid relid = lfirst_oid(cell);
        if (relid != RelationGetRelid(target) && !looks_plain(relid))
            return false;
    }
    list_free(relids);
    return true;
}

Leaves *open_leaves(EState *estate, ResultRelInfo *target) {
    auto *leaves = static_cast<Leaves *>(palloc0(sizeof(Leaves)));
    leaves->estate = estate;
    leaves->target = target;
    if (target->ri_RelationDesc->rd_rel->relkind == RELKIND_RELATION) {
        leaves->slot_kind = table_slot_callbacks(target->ri_RelationDesc);
        leaves->latest = static_cast<Leaf *>(palloc(sizeof(Leaf)));
        init_leaf(leaves, leaves->latest, target);
        return leaves;
    }
    leaves->slot_kind = &TTSOpsBufferHeapTuple;
    leaves->state = makeNode(ModifyTableState);
    leaves->state->ps.state = estate;
    leaves->state->operation = CMD_INSERT;
    leaves->state->mt_nrels = 1;
    leaves->state->resultRelInfo = target;
    leaves->state->rootResultRelInfo = target;
    leaves->routes = ExecSetupPartitionTupleRouting(estate, target->ri_RelationDesc);
    HASHCTL control{};
    control.keysize = sizeof(ResultRelInfo *);
    control.entrysize = sizeof(Leaf);
    control.hcxt = CurrentMemoryContext;
    leaves->known =
        hash_create("fastcopy leaves", 32, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
    return leaves;
}

Leaf *route(Leaves *leaves, TupleTableSlot *row) {
    ResultRelInfo *relation =
        ExecFindPartition(leaves->state, leaves->target, leaves->routes, row, leaves->estate);
    if (leaves->latest == nullptr || leaves->latest->relation != relation)
        leaves->latest = know_leaf(leaves, relation);
    return leaves->latest;
}

TupleTableSlot *convert(const Leaf &leaf, TupleTableSlot *row) {
    return execute_attr_map_slot(const_cast<AttrMap *>(leaf.map), row,
                                 MakeSingleTupleTableSlot(leaf.tupdesc, &TTSOpsBufferHeapTuple));
}

void grow(Leaf *leaf) {
    leaf->capacity *= 2;
    leaf->slots = static_cast<TupleTableSlot **>(
        repalloc(leaf->slots, sizeof(*leaf->slots) * leaf->capacity));
    leaf->lines =
        static_cast<uint64 *>(repalloc(leaf->lines, sizeof(*leaf->lines) * leaf->capacity));
}

void close_leaves(Leaves *leaves) {
    if (leaves->routes != nullptr)
        ExecCleanupTupleRouting(leaves->state, leaves->routes);
}

}  // namespace fastcopy::sink
