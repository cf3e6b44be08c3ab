#include "run/definitions.hpp"

#include <algorithm>

#include "job/ledger.hpp"
#include "plan/answers.hpp"
#include "run/dump.hpp"
#include "run/large_objects.hpp"
#include "run/prerequisites.hpp"
#include "sink/definition_sql.hpp"

namespace fastcopy::run {

using core::DumpEntry;
using source::Rows;

struct Definitions {
    dump::Dump dumped;
};

namespace {

bool is_table(const DumpEntry &entry) {
    return entry.catalog == RelationRelationId && entry.kind == "TABLE";
}

bool is_sequence(const DumpEntry &entry) {
    return entry.catalog == RelationRelationId && entry.kind == "SEQUENCE";
}

// A list of OIDs as a literal of SQL.
void add_oid(StringInfo list, Oid oid) {
    appendStringInfo(list, "%s%u", list->len > 0 ? "," : "", oid);
}

Oid *sorted(Oid *oids, int count) {
    std::sort(oids, oids + count);
    return oids;
}

// A table that was created after the listing would be here without rows.
void check_listed(RunningJob *job, const dump::Section &before_data, const Listing &listing,
                  const SourceFacts &facts) {
    List *known_list = NIL;
    for (int i = 0; i < facts.ntables; i++) {
        known_list = lappend_oid(known_list, facts.tables[i].table.oid);
        for (char *at = const_cast<char *>(listing.leaves[i]); *at != '\0';)
            known_list = lappend_oid(known_list, static_cast<Oid>(strtoul(at, &at, 10)));
    }
    int count = list_length(known_list);
    auto *known = static_cast<Oid *>(palloc(sizeof(Oid) * count + 1));
    for (int i = 0; i < count; i++)
        known[i] = list_nth_oid(known_list, i);
    (void)sorted(known, count);
    StringInfoData others;
    initStringInfo(&others);
    for (int i = 0; i < before_data.count; i++) {
        const DumpEntry &entry = before_data.entries[i];
        if (is_table(entry) && !std::binary_search(known, known + count, entry.oid))
            add_oid(&others, entry.oid);
    }
    if (others.len == 0)
        return;
    // Partitioned tables that are partitions themselves have no rows of their own.
    Rows rows = source::query(
        job->connection,
        psprintf("SELECT pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.',"
                 " pg_catalog.quote_ident(c.relname)) FROM pg_catalog.pg_class c"
                 " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
                 " WHERE c.oid OPERATOR(pg_catalog.=) ANY ('{%s}'::pg_catalog.oid[])"
                 " AND NOT (c.relispartition AND c.relkind OPERATOR(pg_catalog.=)"
                 " 'p'::pg_catalog.\"char\") ORDER BY 1 LIMIT 1",
                 others.data));
    if (rows.count > 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                        errmsg("source table %s was created while the job started",
                               plan::to_name(rows.at(0, 0))),
                        errhint("Start the job again.")));
}

// The OIDs of the tables that are created, as a literal of SQL.
const char *list_created(const dump::Section &before_data) {
    StringInfoData oids;
    initStringInfo(&oids);
    for (int i = 0; i < before_data.count; i++) {
        if (is_table(before_data.entries[i]))
            add_oid(&oids, before_data.entries[i].oid);
    }
    return oids.data;
}

// What follows CREATE SCHEMA in the entry of a schema, if anything.
const char *without_create(const char *sql) {
    if (strncmp(sql, "CREATE SCHEMA ", strlen("CREATE SCHEMA ")) != 0)
        return sql;
    const char *next = strstr(sql, ";\n");
    return next != nullptr ? next + 1 : "";
}

void create(RunningJob *job, const dump::Section &section) {
    pg::show_activity(psprintf("fastcopy job " INT64_FORMAT, job->area->job),
                      "creating what comes before the rows");
    MemoryContext per_entry =
        AllocSetContextCreate(CurrentMemoryContext, "fastcopy definition", ALLOCSET_DEFAULT_SIZES);
    int nest_level = sink::begin_definitions();
    for (int i = 0; i < section.count; i++) {
        const DumpEntry &entry = section.entries[i];
        check_cancel(job);
        MemoryContext old = MemoryContextSwitchTo(per_entry);
        const char *sql = dump::sql_of(entry);
        // As with pg_restore, a schema may exist; its owner is set.
        if (entry.kind == "SCHEMA" && OidIsValid(get_namespace_oid(dump::copy(entry.name), true)))
            sql = without_create(sql);
        // An entry's own settings are not those of the next.
        bool has_settings = strncmp(sql, "SET LOCAL ", strlen("SET LOCAL ")) == 0;
        int inner_level = has_settings ? sink::begin_definitions() : 0;
        sink::run_definition(dump::copy(entry.kind), dump::shown_name(entry), sql);
        if (has_settings)
            sink::end_definitions(inner_level);
        MemoryContextSwitchTo(old);
        MemoryContextReset(per_entry);
    }
    sink::end_definitions(nest_level);
    MemoryContextDelete(per_entry);
}

job::Stage stage_of(std::string_view kind) {
    if (kind == "INDEX" || kind == "CONSTRAINT" || kind == "CHECK CONSTRAINT" ||
        kind == "STATISTICS")
        return job::Stage::tables;
    if (kind == "INDEX ATTACH")
        return job::Stage::attachments;
    return kind == "FK CONSTRAINT" ? job::Stage::foreign_keys : job::Stage::rest;
}

// A source relation of the job.
struct Member {
    Oid oid;
    int32 table;  // of the job, by number
    uint64 bytes;
};

// A definition with what decides on its place in its stage.
struct Item {
    job::Definition definition;
    int place;  // in the dump
    Oid relation;
    uint64 bytes;  // of the relation
    int rank;      // among the definitions of the relation
};

struct Items {
    int count;
    int capacity;
    Item *items;

    Item *add(job::Stage stage, int place) {
        if (count == capacity) {
            capacity = Max(256, capacity * 2);
            Size size = sizeof(Item) * static_cast<Size>(capacity);
            items =
                static_cast<Item *>(items == nullptr ? palloc(size) : repalloc_huge(items, size));
        }
        Item *item = &items[count++];
        *item = Item{};
        item->definition.stage = stage;
        item->place = place;
        return item;
    }
};

struct Map {
    int count;
    Member *members;
};

Map map_members(const SourceFacts &facts) {
    int count = 0;
    for (int i = 0; i < facts.ntables; i++)
        count += 1 + facts.tables[i].leaves.count;
    Map map{0, static_cast<Member *>(palloc(sizeof(Member) * count + 1))};
    for (int i = 0; i < facts.ntables; i++) {
        const TableFacts &table = facts.tables[i];
        uint64 all = 0;
        for (int j = 0; j < table.leaves.count; j++) {
            const plan::Leaf &leaf = table.leaves.leaves[j];
            all += plan::size_of(leaf);
            if (leaf.oid != table.table.oid)
                map.members[map.count++] = Member{leaf.oid, i + 1, plan::size_of(leaf)};
        }
        map.members[map.count++] = Member{table.table.oid, i + 1, all};
    }
    std::sort(map.members, map.members + map.count,
              [](const Member &a, const Member &b) { return a.oid < b.oid; });
    return map;
}

const Member *find_member(const Map &map, Oid oid) {
    const Member *first = map.members;
    const Member *end = first + map.count;
    const Member *found =
        std::lower_bound(first, end, oid, [](const Member &a, Oid b) { return a.oid < b; });
    return found != end && found->oid == oid ? found : nullptr;
}

// The entries for tables, by their ids in the dump.
struct TableEntries {
    int count;
    const DumpEntry **entries;
};

TableEntries list_table_entries(const dump::Section &before_data) {
    TableEntries tables{
        0, static_cast<const DumpEntry **>(palloc(sizeof(DumpEntry *) * before_data.count + 1))};
    for (int i = 0; i < before_data.count; i++) {
        if (is_table(before_data.entries[i]))
            tables.entries[tables.count++] = &before_data.entries[i];
    }
    std::sort(tables.entries, tables.entries + tables.count,
              [](const DumpEntry *a, const DumpEntry *b) { return a->id < b->id; });
    return tables;
}

// Finds the table that an entry is of: one that it depends on, and if there are several, as of a
// foreign key, the one that its name begins with.
void assign_table(Item *item, const DumpEntry &entry, const TableEntries &tables, const Map &map) {
    std::string_view dependencies = entry.dependencies;
    uint32 id;
    while (core::take_dependency(&dependencies, &id)) {
        const DumpEntry **end = tables.entries + tables.count;
        const DumpEntry **found = std::lower_bound(
            tables.entries, end, id, [](const DumpEntry *a, uint32 b) { return a->id < b; });
        if (found == end || (*found)->id != id)
            continue;
        bool named = entry.name.starts_with((*found)->name) && entry.schema == (*found)->schema;
        if (OidIsValid(item->relation) && !named)
            continue;
        const Member *member = find_member(map, (*found)->oid);
        item->relation = (*found)->oid;
        item->definition.table = member != nullptr ? member->table : 0;
        item->bytes = member != nullptr ? member->bytes : 0;
        if (named)
            return;
    }
}

// Whether an entry depends on one of these, by their ids.
bool depends_on(const DumpEntry &entry, const Bitmapset *ids) {
    std::string_view dependencies = entry.dependencies;
    uint32 id;
    while (core::take_dependency(&dependencies, &id)) {
        if (bms_is_member(static_cast<int>(id), ids))
            return true;
    }
    return false;
}

// The OIDs of foreign keys that refer to partitioned tables, in order.
struct PartitionedKeys {
    int count;
    Oid *oids;
};

PartitionedKeys find_partitioned_keys(RunningJob *job, const dump::Section &after_data) {
    StringInfoData oids;
    initStringInfo(&oids);
    for (int i = 0; i < after_data.count; i++) {
        if (stage_of(after_data.entries[i].kind) == job::Stage::foreign_keys)
            add_oid(&oids, after_data.entries[i].oid);
    }
    Rows rows = source::query(
        job->connection,
        psprintf("SELECT k.oid FROM pg_catalog.pg_constraint k"
                 " JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) k.confrelid"
                 " WHERE k.oid OPERATOR(pg_catalog.=) ANY ('{%s}'::pg_catalog.oid[])"
                 " AND c.relkind OPERATOR(pg_catalog.=) 'p'::pg_catalog.\"char\"",
                 oids.data));
    PartitionedKeys keys{rows.count, static_cast<Oid *>(palloc(sizeof(Oid) * rows.count + 1))};
    for (int i = 0; i < rows.count; i++)
        keys.oids[i] = plan::oid_at(rows, i, 0);
    (void)sorted(keys.oids, keys.count);
    return keys;
}

// A foreign key is added without a look at the rows, which takes locks on both tables but no time,
// and then validated, beside others. PostgreSQL cannot do that with the key of a partitioned table
// (up to version 17), nor, for what is kept for each partition, with one that refers to such a table.
void add_foreign_key(Items *items, const DumpEntry &entry, int place, const TableEntries &tables,
                     const Map &map, const PartitionedKeys &to_partitioned) {
    core::ForeignKeyText key;
    bool split = core::parse_foreign_key(entry.sql, &key) && key.only && !key.not_valid &&
                 !key.statement.ends_with(" NOT ENFORCED") &&
                 !std::binary_search(to_partitioned.oids,
                                     to_partitioned.oids + to_partitioned.count, entry.oid);
    Item *item = items->add(job::Stage::foreign_keys, place);
    item->definition.kind = "FK CONSTRAINT";
    item->definition.name = dump::shown_name(entry);
    item->definition.sql =
        split ? psprintf("%s NOT VALID;", dump::copy(key.statement)) : dump::sql_of(entry);
    assign_table(item, entry, tables, map);
    if (!split)
        return;
    Item added = *item;
    item = items->add(job::Stage::validations, place);
    *item = added;
    item->definition.stage = job::Stage::validations;
    item->definition.kind = "VALIDATION";
    item->definition.sql = psprintf("ALTER TABLE %s VALIDATE CONSTRAINT %s;", dump::copy(key.table),
                                    dump::copy(key.constraint));
}

// Values of these sequences of the source, as definitions that set them here.
void add_sequences(RunningJob *job, Items *items, const char **names, int count) {
    constexpr int per_query = 500;
    for (int from = 0; from < count; from += per_query) {
        int to = Min(from + per_query, count);
        StringInfoData query;
        initStringInfo(&query);
        for (int i = from; i < to; i++)
            appendStringInfo(&query, "%sSELECT %d, last_value, is_called FROM %s",
                             i > from ? " UNION ALL " : "", i, names[i]);
        appendStringInfoString(&query, " ORDER BY 1");
        Rows rows = source::query(job->connection, query.data);
        for (int i = from; i < to; i++) {
            int row = i - from;
            Item *item = items->add(job::Stage::rest, INT_MAX);
            item->definition.kind = "SEQUENCE SET";
            item->definition.name = names[i];
            item->definition.sql = psprintf("SELECT pg_catalog.setval(%s, " INT64_FORMAT ", %s);",
                                            quote_literal_cstr(names[i]),
                                            rows.number_at(row, 1, PG_INT64_MIN, PG_INT64_MAX),
                                            plan::to_bool(rows.at(row, 2)) ? "true" : "false");
        }
    }
}

void add_dumped_sequences(RunningJob *job, Items *items, const dump::Section &before_data) {
    StringInfoData oids;
    initStringInfo(&oids);
    for (int i = 0; i < before_data.count; i++) {
        if (is_sequence(before_data.entries[i]))
            add_oid(&oids, before_data.entries[i].oid);
    }
    if (oids.len == 0)
        return;
    Rows rows = source::query(
        job->connection,
        psprintf("SELECT pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.',"
                 " pg_catalog.quote_ident(c.relname)) FROM pg_catalog.pg_class c"
                 " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
                 " WHERE c.oid OPERATOR(pg_catalog.=) ANY ('{%s}'::pg_catalog.oid[]) ORDER BY 1",
                 oids.data));
    auto **names = static_cast<const char **>(palloc(sizeof(char *) * rows.count + 1));
    for (int i = 0; i < rows.count; i++)
        names[i] = plan::to_name(rows.at(i, 0));
    add_sequences(job, items, names, rows.count);
}

// The order in which definitions are claimed. Those of one table, which wait for each other's locks,
// are not neighbours; those of the largest come first.
void sort_items(Items *items) {
    std::stable_sort(items->items, items->items + items->count, [](const Item &a, const Item &b) {
        return a.definition.stage != b.definition.stage ? a.definition.stage < b.definition.stage
                                                        : a.relation < b.relation;
    });
    for (int i = 1; i < items->count; i++) {
        Item *item = &items->items[i];
        const Item &before = items->items[i - 1];
        if (item->definition.stage == before.definition.stage && item->relation == before.relation)
            item->rank = before.rank + 1;
    }
    std::stable_sort(items->items, items->items + items->count, [](const Item &a, const Item &b) {
        if (a.definition.stage != b.definition.stage)
            return a.definition.stage < b.definition.stage;
        if (!job::is_parallel(a.definition.stage))
            return a.place < b.place;
        if (a.rank != b.rank)
            return a.rank < b.rank;
        return a.bytes != b.bytes ? a.bytes > b.bytes : a.place < b.place;
    });
}

// What the definitions need here is said at once, not by pg_restore one by one.
void require_prerequisites(RunningJob *job, const SourceFacts &facts) {
    const job::Request &request = job->request;
    auto *tables = static_cast<Oid *>(palloc(sizeof(Oid) * Max(facts.ntables, 1)));
    for (int i = 0; i < facts.ntables; i++)
        tables[i] = facts.tables[i].table.oid;
    raise_missing(
        find_missing(job->connection, Wanted{.whole = request.include_count == 0,
                                             .with_exceptions = request.exclude_count > 0,
                                             .tables = {tables, static_cast<size_t>(facts.ntables)},
                                             .owners = request.owners,
                                             .privileges = request.privileges}));
}

}  // namespace

void refuse_source(source::Connection *connection) {
    dump::check_version(connection);
    Rows rows = source::query(
        connection,
        "SELECT e.extname FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=)"
        " ANY (ARRAY['timescaledb', 'citus']::pg_catalog.name[]) ORDER BY 1");
    if (rows.count > 0)
        ereport(ERROR,
                (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                 errmsg("cannot create the definitions of a source with extension \"%s\"",
                        rows.at(0, 0)),
                 errdetail("What the extension keeps about its tables is not a part of their "
                           "definitions."),
                 errhint("Create the tables here by the extension's own means, and copy into them "
                         "with definitions => 'keep'.")));
}

void refuse_dangling_keys(source::Connection *connection, const char *oids) {
    Rows rows = source::query(
        connection,
        psprintf(
            "SELECT DISTINCT pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.',"
            " pg_catalog.quote_ident(c.relname)), n.nspname, c.relname"
            " FROM pg_catalog.pg_constraint k"
            " JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) k.confrelid"
            " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
            " WHERE k.contype OPERATOR(pg_catalog.=) 'f'::pg_catalog.\"char\""
            " AND k.conrelid OPERATOR(pg_catalog.=) ANY ('{%s}'::pg_catalog.oid[])"
            " AND k.confrelid OPERATOR(pg_catalog.<>) ALL ('{%s}'::pg_catalog.oid[]) ORDER BY 1",
            oids, oids));
    StringInfoData missing;
    initStringInfo(&missing);
    for (int i = 0; i < rows.count; i++) {
        Oid schema = get_namespace_oid(rows.at(i, 1), true);
        if (!OidIsValid(schema) || !OidIsValid(get_relname_relid(rows.at(i, 2), schema)))
            appendStringInfo(&missing, "%s%s", missing.len > 0 ? ", " : "",
                             plan::to_name(rows.at(i, 0)));
    }
    if (missing.len > 0)
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_TABLE),
                 errmsg("foreign keys refer to tables that are neither cloned nor exist here"),
                 errdetail_internal("%s", missing.data),
                 errhint("Clone these tables, too, or copy into tables without the keys with "
                         "definitions => 'keep'.")));
}

Definitions *create_tables(RunningJob *job, const Listing &listing, const SourceFacts &facts) {
    refuse_source(job->connection);
    dump::Dump dumped = dump::read(job, listing);
    check_listed(job, dumped.before_data, listing, facts);
    refuse_dangling_keys(job->connection, list_created(dumped.before_data));
    require_prerequisites(job, facts);
    create(job, dumped.before_data);
    // Patterns are for tables.
    if (job->request.include_count == 0)
        copy_large_objects(job);
    find_created(job);
    auto *definitions = static_cast<Definitions *>(palloc(sizeof(Definitions)));
    *definitions = Definitions{dumped};
    return definitions;
}

void write_definitions(RunningJob *job, const Definitions &definitions, const SourceFacts &facts) {
    const dump::Dump &dumped = definitions.dumped;
    TableEntries tables = list_table_entries(dumped.before_data);
    Map map = map_members(facts);
    PartitionedKeys to_partitioned = find_partitioned_keys(job, dumped.after_data);
    Items items{};
    Bitmapset *postponed = nullptr;
    bool has_postponed_views = false;
    for (int i = 0; i < dumped.after_data.count; i++) {
        const DumpEntry &entry = dumped.after_data.entries[i];
        job::Stage stage = stage_of(entry.kind);
        // A view that needs a primary key is created after it, and so are its indexes.
        if (stage == job::Stage::rest || depends_on(entry, postponed)) {
            stage = job::Stage::rest;
            postponed = bms_add_member(postponed, static_cast<int>(entry.id));
            has_postponed_views = has_postponed_views || entry.kind == "MATERIALIZED VIEW";
        }
        if (stage == job::Stage::foreign_keys) {
            add_foreign_key(&items, entry, i, tables, map, to_partitioned);
            continue;
        }
        Item *item = items.add(stage, i);
        item->definition.kind = dump::copy(entry.kind);
        item->definition.name = dump::shown_name(entry);
        item->definition.sql = dump::sql_of(entry);
        assign_table(item, entry, tables, map);
    }
    for (int i = 0; i < dumped.statistics.count; i++) {
        const DumpEntry &entry = dumped.statistics.entries[i];
        Item *item = items.add(has_postponed_views ? job::Stage::rest : job::Stage::statistics,
                               has_postponed_views ? INT_MAX : i);
        item->definition.kind = dump::copy(entry.kind);
        item->definition.name = dump::shown_name(entry);
        item->definition.sql = dump::sql_of(entry);
    }
    if (job->request.sequences)
        add_dumped_sequences(job, &items, dumped.before_data);
    sort_items(&items);
    auto *rows = static_cast<job::Definition *>(
        MemoryContextAllocHuge(CurrentMemoryContext, sizeof(job::Definition) * items.count + 1));
    for (int i = 0; i < items.count; i++)
        rows[i] = items.items[i].definition;
    job::ledger::add_definitions(job->area->job, 1, {rows, static_cast<size_t>(items.count)});
    pg_atomic_write_u32(&job->slot->definitions, static_cast<uint32>(items.count));
}

void read_sequences_again(RunningJob *job) {
    job::ledger::Sequences sequences = job::ledger::read_unset_sequences(job->area->job);
    Items items{};
    add_sequences(job, &items, sequences.names, sequences.count);
    for (int i = 0; i < items.count; i++)
        job::ledger::replace_definition(job->area->job, sequences.numbers[i],
                                        items.items[i].definition.sql);
}

}  // namespace fastcopy::run
