#include "compare/target_pieces.hpp"

#include "pg/acl.hpp"
#include "plan/front_door.hpp"

namespace fastcopy::compare {

namespace {

const char *quoted_name(Relation relation) {
    return psprintf("%s.%s", plan::quote_always(get_namespace_name(RelationGetNamespace(relation))),
                    plan::quote_always(RelationGetRelationName(relation)));
}

// Whether the current role may read the relation by its own name, all columns and ctid, and all
// rows.
bool is_readable(Relation relation) {
    Oid role = GetUserId();
    return pg_class_aclcheck(RelationGetRelid(relation), role, ACL_SELECT) == ACLCHECK_OK &&
           pg::check_schema(RelationGetNamespace(relation), role, ACL_USAGE) == ACLCHECK_OK &&
           check_enable_rls(RelationGetRelid(relation), InvalidOid, true) != RLS_ENABLED;
}

// The plan of a select by the target's name: plan/front_door.hpp says what it is good for.
plan::FrontDoor ask_front_door(Relation target, const plan::RowShape &shape) {
    MemoryContext caller = CurrentMemoryContext;
    const char *sql = plan::explain_statement(quoted_name(target), shape);
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
    int code = SPI_execute(sql, false, 0);
    if (code != SPI_OK_UTILITY || SPI_processed != 1)
        elog(ERROR, "%s: %s", sql, SPI_result_code_string(code));
    const char *json = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
    json = MemoryContextStrdup(caller, json);
    SPI_finish();
    return plan::read_plan(json);
}

plan::Leaf describe_leaf(Relation relation, bool by_name) {
    plan::Leaf leaf{};
    leaf.oid = RelationGetRelid(relation);
    leaf.name = quoted_name(relation);
    leaf.relkind = relation->rd_rel->relkind;
    leaf.readable = true;
    leaf.by_name = by_name;
    leaf.block_size = BLCKSZ;
    leaf.is_heap = !by_name &&
                   (leaf.relkind == RELKIND_RELATION || leaf.relkind == RELKIND_MATVIEW) &&
                   relation->rd_tableam == GetHeapamTableAmRoutine();
    if (!leaf.is_heap)
        return leaf;
    leaf.heap_bytes = static_cast<int64>(RelationGetNumberOfBlocks(relation)) * BLCKSZ;
    if (OidIsValid(relation->rd_rel->reltoastrelid)) {
        Relation toast = table_open(relation->rd_rel->reltoastrelid, AccessShareLock);
        leaf.toast_bytes = static_cast<int64>(RelationGetNumberOfBlocks(toast)) * BLCKSZ;
        table_close(toast, NoLock);
    }
    return leaf;
}

// The leaves; none if one of them, or the table, can only be read by the target's name.
plan::Leaves find_leaves(Relation target, const plan::RowShape &shape) {
    constexpr plan::Leaves none{};
    if (target->rd_rel->relkind == RELKIND_VIEW)
        return none;
    plan::FrontDoor door = ask_front_door(target, shape);
    if (door.obstacle != nullptr)
        return none;
    List *relids = find_all_inheritors(RelationGetRelid(target), AccessShareLock, nullptr);
    plan::Leaves leaves{};
    leaves.leaves = static_cast<plan::Leaf *>(palloc(sizeof(plan::Leaf) * list_length(relids)));
    bool by_leaves = true;
    ListCell *cell;
    foreach (cell, relids) {
        if (!by_leaves)
            break;
        Relation relation = table_open(lfirst_oid(cell), NoLock);
        // Only their own sessions can read temporary children.
        if (relation->rd_rel->relkind != RELKIND_PARTITIONED_TABLE &&
            !RELATION_IS_OTHER_TEMP(relation)) {
            const plan::PlanScan *scan =
                plan::find_scan(door, get_namespace_name(RelationGetNamespace(relation)),
                                RelationGetRelationName(relation));
            // A scan by name would read the children too, which are leaves themselves.
            by_leaves = is_readable(relation) &&
                        (scan == nullptr || scan->plain || !relation->rd_rel->relhassubclass);
            if (by_leaves && scan != nullptr)
                leaves.leaves[leaves.count++] = describe_leaf(relation, !scan->plain);
        }
        table_close(relation, NoLock);
    }
    // The plan must scan nothing else.
    return by_leaves && leaves.count == door.count ? leaves : none;
}

}  // namespace

void lock_target(Oid relid) {
    LockRelationOid(relid, AccessShareLock);
    (void)find_all_inheritors(relid, AccessShareLock, nullptr);
}

Relation open_target(Oid relid) {
    Relation target = try_relation_open(relid, AccessShareLock);
    if (target == nullptr)
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("the target table no longer exists"),
                 errdetail("The table had OID %u.", relid)));
    if (strchr("rpmvf", target->rd_rel->relkind) == nullptr)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                        errmsg("\"%s\" is not a table", RelationGetRelationName(target)),
                        errdetail("Tables, partitioned tables, materialized views, views and "
                                  "foreign tables can be compared.")));
    if (target->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
        ereport(ERROR,
                (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                 errmsg("cannot compare temporary table \"%s\"", RelationGetRelationName(target)),
                 errdetail("Background workers cannot see the temporary tables of a "
                           "session.")));
    return target;
}

void check_filter(Relation target, const plan::RowShape &shape) {
    if (shape.filter == nullptr)
        return;
    plan::Chunk all{};
    all.relation = quoted_name(target);
    all.kind = plan::Kind::whole;
    const char *texts[] = {psprintf("SELECT FROM %s WHERE %s\n", all.relation, shape.filter),
                           plan::select_statement(all, shape)};
    for (const char *text : texts) {
        if (list_length(raw_parser(text, RAW_PARSE_DEFAULT)) != 1)
            ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
                            errmsg("argument \"filter\" must be one expression")));
    }
}

void cut_target(Relation target, const job::Request &request, const plan::RowShape &shape,
                Side *side) {
    plan::Chunk all{};
    all.number = 1;
    all.relation = quoted_name(target);
    all.kind = plan::Kind::whole;
    plan::Leaves leaves = find_leaves(target, shape);
    if (leaves.count == 0)
        return set_pieces(side, plan::Plan{.count = 1, .chunks = &all, .bytes_expected = 0}, shape,
                          nullptr);
    plan::CutOptions options{.source_table = request.only_table().source_table,
                             .key = nullptr,
                             .workers = request.workers,
                             .chunk_size_kb = request.chunk_size_kb,
                             .ring_per_chunk = false};
    set_pieces(side, plan::cut_here(options, &leaves), shape, plan::from_clause(all, shape));
}

}  // namespace fastcopy::compare
