#include "compare/target_pieces.hpp"

#include "core/range_split.hpp"
#include "pg/acl.hpp"
#include "plan/front_door.hpp"

namespace fastcopy::compare {

namespace {

// A relation that holds rows of the target.
struct Leaf {
    const char *name;  // quoted, schema-qualified
    char relkind;
    bool by_name;  // not by ONLY and ctid
    bool has_blocks;
    uint32 blocks;
    uint64 bytes;  // with TOAST
};

const char *quoted_name(Relation relation) {
    return psprintf("%s.%s", plan::quote_always(get_namespace_name(RelationGetNamespace(relation))),
                    plan::quote_always(RelationGetRelationName(relation)));
}

// Whether the current role may read the relation by its own name, all columns and ctid, and all rows.
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

Leaf describe_leaf(Relation relation, bool by_name) {
    Leaf leaf{};
    leaf.name = quoted_name(relation);
    leaf.relkind = relation->rd_rel->relkind;
    leaf.by_name = by_name;
    leaf.has_blocks = !by_name &&
                      (leaf.relkind == RELKIND_RELATION || leaf.relkind == RELKIND_MATVIEW) &&
                      relation->rd_tableam == GetHeapamTableAmRoutine();
    if (!leaf.has_blocks)
        return leaf;
    leaf.blocks = RelationGetNumberOfBlocks(relation);
    leaf.bytes = static_cast<uint64>(leaf.blocks) * BLCKSZ;
    if (OidIsValid(relation->rd_rel->reltoastrelid)) {
        Relation toast = table_open(relation->rd_rel->reltoastrelid, AccessShareLock);
        leaf.bytes += static_cast<uint64>(RelationGetNumberOfBlocks(toast)) * BLCKSZ;
        table_close(toast, NoLock);
    }
    return leaf;
}

// Larger ones first.
int by_size(const ListCell *a, const ListCell *b) {
    uint64 size_a = static_cast<const Leaf *>(lfirst(a))->bytes;
    uint64 size_b = static_cast<const Leaf *>(lfirst(b))->bytes;
    return size_a > size_b ? -1 : size_a < size_b ? 1 : 0;
}

// The leaves, as Leaf; NIL if one of them can only be read through the target, or all of them.
List *find_leaves(Relation target, const plan::RowShape &shape) {
    List *leaves = NIL;
    if (target->rd_rel->relkind == RELKIND_VIEW)
        return NIL;
    plan::FrontDoor door = ask_front_door(target, shape);
    if (door.obstacle != nullptr)
        return NIL;
    int scans = 0;
    List *relids = find_all_inheritors(RelationGetRelid(target), AccessShareLock, nullptr);
    ListCell *cell;
    foreach (cell, relids) {
        Relation relation = table_open(lfirst_oid(cell), NoLock);
        // What other sessions keep in temporary children is nobody's but theirs.
        if (relation->rd_rel->relkind != RELKIND_PARTITIONED_TABLE &&
            !RELATION_IS_OTHER_TEMP(relation)) {
            bool readable = is_readable(relation);
            if (!readable) {
                table_close(relation, NoLock);
                return NIL;
            }
            const plan::PlanScan *scan =
                plan::find_scan(door, get_namespace_name(RelationGetNamespace(relation)),
                                RelationGetRelationName(relation));
            // The children are leaves themselves.
            if (scan != nullptr && !scan->plain && relation->rd_rel->relhassubclass) {
                table_close(relation, NoLock);
                return NIL;
            }
            if (scan != nullptr) {
                auto *leaf = static_cast<Leaf *>(palloc(sizeof(Leaf)));
                *leaf = describe_leaf(relation, !scan->plain);
                leaves = lappend(leaves, leaf);
                scans++;
            }
        }
        table_close(relation, NoLock);
    }
    // A scan of something else would be missed.
    return scans == door.count ? leaves : NIL;
}

void add_piece(List **pieces, const plan::Chunk &chunk, const plan::RowShape &shape) {
    auto *piece = static_cast<Piece *>(palloc(sizeof(Piece)));
    piece->from = plan::from_clause(chunk, shape);
    piece->whole = chunk.kind == plan::Kind::whole;
    piece->total = false;
    *pieces = lappend(*pieces, piece);
}

void cut_leaf(List **pieces, const Leaf &leaf, uint64 bytes, const plan::RowShape &shape) {
    plan::Chunk chunk{};
    chunk.relation = leaf.name;
    chunk.kind = plan::Kind::whole;
    chunk.only = !leaf.by_name &&
                 (leaf.relkind == RELKIND_RELATION || leaf.relkind == RELKIND_FOREIGN_TABLE);
    uint32 count = leaf.has_blocks && leaf.blocks > 0
                       ? core::block_chunk_count(leaf.blocks, leaf.bytes, bytes)
                       : 1;
    if (count == 1)
        return add_piece(pieces, chunk, shape);
    chunk.kind = plan::Kind::blocks;
    for (uint32 i = 0; i < count; i++) {
        core::BlockRange range = core::block_range(leaf.blocks, count, i);
        chunk.first_block = range.first;
        chunk.end_block = i + 1 < count ? static_cast<int64>(range.end) : -1;
        add_piece(pieces, chunk, shape);
    }
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
                 errdetail("It had OID %u.", relid)));
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
    List *leaves = find_leaves(target, shape);
    List *pieces = NIL;
    ListCell *cell;
    plan::Chunk all{};
    all.relation = quoted_name(target);
    all.kind = plan::Kind::whole;
    if (leaves == NIL)
        add_piece(&pieces, all, shape);
    uint64 total = 0;
    foreach (cell, leaves)
        total += static_cast<const Leaf *>(lfirst(cell))->bytes;
    uint64 bytes = core::chunk_bytes(total, static_cast<unsigned>(request.workers),
                                     static_cast<uint64>(request.chunk_size_kb) * 1024);
    list_sort(leaves, by_size);
    foreach (cell, leaves)
        cut_leaf(&pieces, *static_cast<const Leaf *>(lfirst(cell)), bytes, shape);

    allocate_pieces(side, list_length(pieces),
                    leaves != NIL ? plan::from_clause(all, shape) : nullptr);
    int i = side->counted ? 1 : 0;
    foreach (cell, pieces)
        side->pieces[i++] = *static_cast<const Piece *>(lfirst(cell));
}

}  // namespace fastcopy::compare
