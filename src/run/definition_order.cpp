// What follows the rows, and in which order: see run/definitions.hpp.
#include <algorithm>

#include "job/ledger.hpp"
#include "plan/answers.hpp"
#include "run/definitions.hpp"

namespace fastcopy::run {

using core::DumpEntry;
using source::Rows;

namespace {

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
        if (dump::is_table(before_data.entries[i]))
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

// A foreign key that a leaf has from a partitioned table.
struct LeafKey {
    Oid key;                 // of the partitioned table
    const char *table;       // the leaf, quoted and schema-qualified
    const char *constraint;  // quoted
};

// What pg_dump does not say of foreign keys, in the order of their OIDs.
struct KeyFacts {
    int to_partitioned_count;
    Oid *to_partitioned;  // keys that refer to partitioned tables
    int of_leaves_count;
    LeafKey *of_leaves;
};

bool is_foreign_key(const DumpEntry &entry) {
    return stage_of(entry.kind) == job::Stage::foreign_keys;
}

KeyFacts read_key_facts(RunningJob *job, const dump::Section &after_data) {
    KeyFacts facts{};
    const char *oids = dump::oids_of(after_data, is_foreign_key);
    // Before version 11, partitioned tables have no foreign keys, nor are they referred to.
    if (*oids == '\0' || source::server_version(job->connection) < 110000)
        return facts;
    Rows rows = source::query(
        job->connection,
        psprintf("SELECT k.oid FROM pg_catalog.pg_constraint k"
                 " JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) k.confrelid"
                 " WHERE k.oid OPERATOR(pg_catalog.=) ANY ('{%s}'::pg_catalog.oid[])"
                 " AND c.relkind OPERATOR(pg_catalog.=) 'p'::pg_catalog.\"char\" ORDER BY k.oid",
                 oids));
    facts.to_partitioned_count = rows.count;
    facts.to_partitioned = static_cast<Oid *>(palloc(sizeof(Oid) * rows.count + 1));
    for (int i = 0; i < rows.count; i++)
        facts.to_partitioned[i] = plan::oid_at(rows, i, 0);
    rows = source::query(
        job->connection,
        psprintf("WITH RECURSIVE t(key, oid) AS (SELECT k.oid, k.oid"
                 " FROM pg_catalog.pg_constraint k"
                 " WHERE k.oid OPERATOR(pg_catalog.=) ANY ('{%s}'::pg_catalog.oid[])"
                 " UNION ALL SELECT t.key, k.oid FROM t"
                 " JOIN pg_catalog.pg_constraint k ON k.conparentid OPERATOR(pg_catalog.=) t.oid)"
                 " SELECT t.key, pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.',"
                 " pg_catalog.quote_ident(c.relname)), pg_catalog.quote_ident(k.conname) FROM t"
                 " JOIN pg_catalog.pg_constraint k ON k.oid OPERATOR(pg_catalog.=) t.oid"
                 " JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) k.conrelid"
                 " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
                 " WHERE t.key OPERATOR(pg_catalog.<>) t.oid"
                 " AND c.relkind OPERATOR(pg_catalog.=) 'r'::pg_catalog.\"char\""
                 " ORDER BY t.key, c.oid",
                 oids));
    facts.of_leaves_count = rows.count;
    facts.of_leaves = static_cast<LeafKey *>(palloc(sizeof(LeafKey) * rows.count + 1));
    for (int i = 0; i < rows.count; i++)
        facts.of_leaves[i] = LeafKey{plan::oid_at(rows, i, 0), plan::to_name(rows.at(i, 1)),
                                     plan::to_name(rows.at(i, 2))};
    return facts;
}

std::span<const LeafKey> find_leaf_keys(const KeyFacts &facts, Oid key) {
    const LeafKey *end = facts.of_leaves + facts.of_leaves_count;
    const LeafKey *first =
        std::lower_bound(static_cast<const LeafKey *>(facts.of_leaves), end, key,
                         [](const LeafKey &leaf_key, Oid wanted) { return leaf_key.key < wanted; });
    const LeafKey *last = first;
    while (last != end && last->key == key)
        last++;
    return {first, last};
}

// Adds the validation of a key that was added just before.
void add_validation(Items *items, const Item &like, const char *table, const char *constraint) {
    Item *item = items->add(job::Stage::validations, like.place);
    *item = like;
    item->definition.stage = job::Stage::validations;
    item->definition.kind = "VALIDATION";
    item->definition.sql =
        psprintf("ALTER TABLE %s\n    VALIDATE CONSTRAINT %s;", table, constraint);
}

// A foreign key is added without a look at the rows, which takes locks on both tables but no time,
// and then validated, beside others. That of a partitioned table is made of keys of its partitions,
// which have the source's names. PostgreSQL can add no key to a partitioned table like that, since it
// keeps more for each partition.
void add_foreign_key(Items *items, const DumpEntry &entry, int place, const TableEntries &tables,
                     const Map &map, const KeyFacts &facts) {
    Item item{};
    item.definition.stage = job::Stage::foreign_keys;
    item.definition.kind = "FK CONSTRAINT";
    item.definition.name = dump::shown_name(entry);
    item.definition.sql = dump::sql_of(entry);
    item.place = place;
    assign_table(&item, entry, tables, map);
    core::ForeignKeyText key;
    bool apart = core::parse_foreign_key(entry.sql, &key) && !key.key.empty() && !key.not_valid &&
                 !key.statement.ends_with(" NOT ENFORCED") &&
                 !std::binary_search(facts.to_partitioned,
                                     facts.to_partitioned + facts.to_partitioned_count, entry.oid);
    if (!apart) {
        *items->add(job::Stage::foreign_keys, place) = item;
        return;
    }
    for (const LeafKey &part : find_leaf_keys(facts, entry.oid)) {
        Item *of_leaf = items->add(job::Stage::foreign_keys, place);
        *of_leaf = item;
        of_leaf->definition.name = psprintf("%s %s", part.table, part.constraint);
        of_leaf->definition.sql = psprintf("ALTER TABLE ONLY %s ADD CONSTRAINT %s %s NOT VALID;",
                                           part.table, part.constraint, dump::copy(key.key));
    }
    item.definition.sql = psprintf("%s NOT VALID;", dump::copy(key.statement));
    *items->add(job::Stage::foreign_keys, place) = item;
    add_validation(items, item, dump::copy(key.table), dump::copy(key.constraint));
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
    const char *oids = dump::oids_of(before_data, dump::is_sequence);
    if (*oids == '\0')
        return;
    Rows rows = source::query(
        job->connection,
        psprintf("SELECT pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.',"
                 " pg_catalog.quote_ident(c.relname)) FROM pg_catalog.pg_class c"
                 " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
                 " WHERE c.oid OPERATOR(pg_catalog.=) ANY ('{%s}'::pg_catalog.oid[]) ORDER BY 1",
                 oids));
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

}  // namespace

void write_definitions(RunningJob *job, const dump::Dump &dumped, const SourceFacts &facts) {
    TableEntries tables = list_table_entries(dumped.before_data);
    Map map = map_members(facts);
    KeyFacts key_facts = read_key_facts(job, dumped.after_data);
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
            add_foreign_key(&items, entry, i, tables, map, key_facts);
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
