#include "plan/front_door.hpp"

#include <algorithm>

#include "plan/engine_sizes.hpp"
#include "source/search_path.hpp"

namespace fastcopy::plan {

namespace {

// A field of a plan's node.
JsonbValue *find_field(JsonbContainer *node, const char *name, JsonbValue *value) {
    return getKeyJsonValueFromContainer(node, name, static_cast<int>(strlen(name)), value);
}

// Text fields, palloc'd; nullptr: there is none.
const char *text_field(JsonbContainer *node, const char *name) {
    JsonbValue value;
    if (find_field(node, name, &value) == nullptr || value.type != jbvString)
        return nullptr;
    return pnstrdup(value.val.string.val, static_cast<Size>(value.val.string.len));
}

bool is_one_of(const char *text, std::initializer_list<const char *> names) {
    return std::any_of(names.begin(), names.end(),
                       [text](const char *name) { return strcmp(text, name) == 0; });
}

struct PlanReader {
    FrontDoor door;
    int capacity;
};

void refuse(PlanReader *reader, const char *obstacle) {
    if (reader->door.obstacle == nullptr)
        reader->door.obstacle = obstacle;
}

void add_scan(PlanReader *reader, JsonbContainer *node, bool plain) {
    PlanScan scan{text_field(node, "Schema"), text_field(node, "Relation Name"), plain};
    if (scan.schema == nullptr || scan.relation == nullptr)
        return refuse(reader, "a scan of something that is not a table");
    FrontDoor *door = &reader->door;
    if (door->count == reader->capacity) {
        reader->capacity = Max(16, reader->capacity * 2);
        Size size = sizeof(PlanScan) * reader->capacity;
        door->scans = static_cast<PlanScan *>(door->scans == nullptr ? palloc(size)
                                                                     : repalloc(door->scans, size));
    }
    door->scans[door->count++] = scan;
}

// An unexpected condition hides rows, or requires an order.
bool has_condition(JsonbContainer *node) {
    JsonbValue value;
    for (const char *name : {"Filter", "Index Cond", "Recheck Cond", "TID Cond", "One-Time Filter"})
        if (find_field(node, name, &value) != nullptr)
            return true;
    return false;
}

void read_node(PlanReader *reader, JsonbContainer *node);

void read_children(PlanReader *reader, JsonbContainer *node) {
    JsonbValue plans;
    if (find_field(node, "Plans", &plans) == nullptr)
        return;
    if (plans.type != jbvBinary || !JsonContainerIsArray(plans.val.binary.data))
        return refuse(reader, "a plan in an unknown form");
    JsonbContainer *array = plans.val.binary.data;
    for (uint32 i = 0; i < JsonContainerSize(array); i++) {
        JsonbValue *child = getIthJsonbValueFromContainer(array, i);
        if (child->type == jbvBinary && JsonContainerIsObject(child->val.binary.data))
            read_node(reader, child->val.binary.data);
        else
            refuse(reader, "a plan in an unknown form");
    }
}

void read_custom_scan(PlanReader *reader, JsonbContainer *node) {
    const char *provider = text_field(node, "Custom Plan Provider");
    if (provider == nullptr)
        return refuse(reader, "Custom Scan");
    // TimescaleDB's nodes that gather what chunks give.
    if (is_one_of(provider, {"ChunkAppend", "ConstraintAwareAppend"}) && !has_condition(node))
        return read_children(reader, node);
    // Of one chunk of TimescaleDB, or one columnar table of Citus: what is read below is not of the
    // table.
    if (is_one_of(provider, {"ColumnarScan", "DecompressChunk"}) && !has_condition(node) &&
        text_field(node, "Relation Name") != nullptr)
        return add_scan(reader, node, false);
    if (strncmp(provider, "Citus", strlen("Citus")) == 0)
        reader->door.across_nodes = true;
    refuse(reader, psprintf("Custom Scan (%s)", provider));
    read_children(reader, node);
}

void read_node(PlanReader *reader, JsonbContainer *node) {
    check_stack_depth();
    const char *type = text_field(node, "Node Type");
    if (type == nullptr)
        return refuse(reader, "a plan in an unknown form");
    const char *place = text_field(node, "Parent Relationship");
    if (place != nullptr && is_one_of(place, {"InitPlan", "SubPlan"}))
        refuse(reader, place);
    if (strcmp(type, "Custom Scan") == 0)
        return read_custom_scan(reader, node);
    if (is_one_of(type, {"Append", "Merge Append", "Gather", "Gather Merge"})) {
        if (has_condition(node))
            refuse(reader, "Filter");
        return read_children(reader, node);
    }
    if (is_one_of(type, {"Seq Scan", "Index Scan", "Index Only Scan", "Foreign Scan"})) {
        if (has_condition(node))
            refuse(reader, "Filter");
        return add_scan(reader, node, true);
    }
    // What the planner makes of a partitioned table without partitions.
    JsonbValue value;
    const char *never = text_field(node, "One-Time Filter");
    if (strcmp(type, "Result") == 0 && never != nullptr && strcmp(never, "false") == 0 &&
        find_field(node, "Plans", &value) == nullptr)
        return;
    refuse(reader, type);
    read_children(reader, node);
}

int compare(const PlanScan &a, const char *schema, const char *relation) {
    int order = strcmp(a.relation, relation);
    return order != 0 ? order : strcmp(a.schema, schema);
}

// Sorts the scans. A leaf that has several is plain if all of them are.
void sort_scans(FrontDoor *door) {
    std::sort(door->scans, door->scans + door->count, [](const PlanScan &a, const PlanScan &b) {
        return compare(a, b.schema, b.relation) < 0;
    });
    int kept = 0;
    for (int i = 0; i < door->count; i++) {
        PlanScan *last = kept > 0 ? &door->scans[kept - 1] : nullptr;
        if (last != nullptr && compare(*last, door->scans[i].schema, door->scans[i].relation) == 0)
            last->plain = last->plain && door->scans[i].plain;
        else
            door->scans[kept++] = door->scans[i];
    }
    door->count = kept;
}

// The table as one leaf.
void read_as_a_whole(source::Connection *connection, const SourceTable &table, bool across_nodes,
                     Leaves *leaves) {
    Leaf whole{};
    whole.oid = table.oid;
    whole.relkind = table.relkind;
    whole.name = table.name;
    whole.readable = true;
    whole.by_name = true;
    whole.by_keys = true;
    whole.has_children = table.relkind == RELKIND_RELATION && leaves->count > 1;
    whole.block_size = BLCKSZ;
    whole.heap_bytes = across_nodes ? distributed_size(connection, *leaves) : 0;
    for (int i = 0; i < leaves->count && !across_nodes; i++)
        whole.heap_bytes += leaves->leaves[i].heap_bytes + leaves->leaves[i].toast_bytes;
    leaves->leaves = static_cast<Leaf *>(palloc(sizeof(Leaf)));
    leaves->leaves[0] = whole;
    leaves->count = 1;
}

// A scan of anything but a leaf: by no fast path can its rows be had.
void look_for_strangers(const Leaves &leaves, FrontDoor *door) {
    int known = 0;
    for (int i = 0; i < leaves.count; i++) {
        if (find_scan(*door, leaves.leaves[i].schema, leaves.leaves[i].relation) != nullptr)
            known++;
    }
    if (known < door->count && door->obstacle == nullptr)
        door->obstacle = "a scan of a table that is none of its partitions or children";
}

// A scan by a leaf's name includes its children, which are leaves themselves.
void look_for_parents(const Leaves &leaves, FrontDoor *door) {
    for (int i = 0; i < leaves.count && door->obstacle == nullptr; i++) {
        const Leaf &leaf = leaves.leaves[i];
        const PlanScan *scan = find_scan(*door, leaf.schema, leaf.relation);
        if (scan != nullptr && !scan->plain && leaf.has_children)
            door->obstacle = "a scan of rows that are kept elsewhere, of a table with children";
    }
}

}  // namespace

char *explain_statement(const char *relation, const RowShape &shape) {
    // One column is as good as all, which a plan of many leaves would list for each of them.
    return psprintf("EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) SELECT %s FROM %s",
                    shape.ncolumns > 0 ? quote_always(shape.columns[0]) : "", relation);
}

FrontDoor read_plan(const char *json) {
    PlanReader reader{};
    Jsonb *document = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
    JsonbValue *statement = JsonContainerIsArray(&document->root) && JB_ROOT_COUNT(document) == 1
                                ? getIthJsonbValueFromContainer(&document->root, 0)
                                : nullptr;
    JsonbValue plan;
    if (statement == nullptr || statement->type != jbvBinary ||
        !JsonContainerIsObject(statement->val.binary.data) ||
        find_field(statement->val.binary.data, "Plan", &plan) == nullptr ||
        plan.type != jbvBinary || !JsonContainerIsObject(plan.val.binary.data))
        refuse(&reader, "a plan in an unknown form");
    else
        read_node(&reader, plan.val.binary.data);
    sort_scans(&reader.door);
    return reader.door;
}

const PlanScan *find_scan(const FrontDoor &door, const char *schema, const char *relation) {
    const PlanScan *begin = door.scans;
    const PlanScan *end = begin + door.count;
    const PlanScan *scan = std::lower_bound(
        begin, end, relation,
        [schema](const PlanScan &a, const char *name) { return compare(a, schema, name) < 0; });
    return scan != end && compare(*scan, schema, relation) == 0 ? scan : nullptr;
}

Reader choose_reader(source::Connection *connection, const SourceTable &table,
                     const RowShape &shape, Leaves *leaves) {
    // Citus asks its nodes for their plans. A transaction that has read a shard of the
    // coordinator's own before may not do so again, unless it forgets of the nodes.
    (void)source::query(connection, "SAVEPOINT explain");
    const char *relation = table.alone ? psprintf("ONLY %s", table.name) : table.name;
    source::Rows rows = source::query_table(connection, explain_statement(relation, shape));
    (void)source::query(connection, "ROLLBACK TO SAVEPOINT explain; RELEASE SAVEPOINT explain");
    FrontDoor door = read_plan(rows.at(0, 0));
    // A view is read by its name in any case.
    if (table.relkind == RELKIND_VIEW)
        return Reader{true, "it is a view", door.across_nodes};
    look_for_strangers(*leaves, &door);
    look_for_parents(*leaves, &door);
    if (door.obstacle != nullptr && table.alone)
        ereport(ERROR,
                (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                 errmsg("cannot copy source table %s without the tables that inherit from it",
                        table.name),
                 errdetail("Its plan has %s.", door.obstacle)));
    if (door.obstacle != nullptr) {
        read_as_a_whole(connection, table, door.across_nodes, leaves);
        return Reader{true, psprintf("its plan has %s", door.obstacle), door.across_nodes};
    }

    bool all_plain = true;
    int kept = 0;
    for (int i = 0; i < leaves->count; i++) {
        Leaf leaf = leaves->leaves[i];
        const PlanScan *scan = find_scan(door, leaf.schema, leaf.relation);
        if (scan == nullptr)
            continue;
        if (!scan->plain) {
            leaf.by_name = true;
            leaf.is_heap = false;
            all_plain = false;
        }
        leaves->leaves[kept++] = leaf;
    }
    leaves->count = kept;
    if (!all_plain)
        add_compressed_sizes(connection, table, leaves);
    return Reader{false,
                  all_plain ? "its plan has nothing but scans of tables"
                            : "its plan has scans of tables, and of some that are kept elsewhere",
                  false};
}

}  // namespace fastcopy::plan
