#include "sink/writer.hpp"

#include "sink/local_sql.hpp"
#include "sink/target.hpp"

namespace fastcopy::sink {

namespace {

// The plan's node as EXPLAIN names it.
const char *describe_node(const Plan *node) {
    if (IsA(node, CustomScan))
        return psprintf("Custom Scan (%s)",
                        reinterpret_cast<const CustomScan *>(node)->methods->CustomName);
    return "another statement";
}

// What the plans of the INSERT say; they may be several, or none at all, if rules have rewritten
// it.
Writer judge(Relation target, List *statements) {
    if (list_length(statements) != 1)
        return Writer{Way::insert, pstrdup("rules rewrite its INSERT"), false, true};
    auto *statement = linitial_node(PlannedStmt, statements);
    Plan *top = statement->planTree;
    if (top == nullptr || !IsA(top, ModifyTable))
        return Writer{Way::insert,
                      psprintf("the plan of its INSERT has %s",
                               top != nullptr ? describe_node(top) : "no node"),
                      true, false};
    auto *modify = reinterpret_cast<ModifyTable *>(top);
    const RangeTblEntry *entry =
        list_length(modify->resultRelations) == 1
            ? rt_fetch(linitial_int(modify->resultRelations), statement->rtable)
            : nullptr;
    if (modify->operation != CMD_INSERT || entry == nullptr ||
        entry->relid != RelationGetRelid(target))
        return Writer{Way::insert, "rules rewrite its INSERT", false, true};
    Plan *rows = outerPlan(top);
    if (rows == nullptr || !(IsA(rows, FunctionScan) || IsA(rows, Result)))
        return Writer{Way::insert,
                      psprintf("the plan of its INSERT has %s",
                               rows != nullptr ? describe_node(rows) : "no node"),
                      true, false};
    return Writer{Way::copy, "the plan of its INSERT is a plain one", false, false};
}

Form_pg_attribute column_of(Relation target, const char *name) {
    AttrNumber attnum = get_attnum(RelationGetRelid(target), name);
    if (attnum <= 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("column \"%s\" of target table \"%s\" does not exist", name,
                               RelationGetRelationName(target))));
    return TupleDescAttr(RelationGetDescr(target), attnum - 1);
}

// The INSERT that is looked at: of parameters, since a role that may insert need not be allowed to
// name the types.
SPIPlanPtr prepare(Relation target, int ncolumns, const char *const *columns) {
    StringInfoData names, values;
    initStringInfo(&names);
    initStringInfo(&values);
    auto *types = static_cast<Oid *>(palloc(sizeof(Oid) * Max(ncolumns, 1)));
    for (int i = 0; i < ncolumns; i++) {
        appendStringInfo(&names, "%s%s", i > 0 ? ", " : " (", quote_identifier(columns[i]));
        appendStringInfo(&values, "%s$%d", i > 0 ? ", " : "", i + 1);
        types[i] = column_of(target, columns[i])->atttypid;
    }
    const char *sql = psprintf(
        "INSERT INTO %s%s%s SELECT %s FROM fastcopy.incoming_rows()"
        " AS r(c1 boolean)",
        quoted_relation(RelationGetRelid(target)), names.data,
        ncolumns > 0 ? ") OVERRIDING SYSTEM VALUE" : "", values.data);
    SPIPlanPtr prepared = SPI_prepare(sql, ncolumns, types);
    if (prepared == nullptr)
        elog(ERROR, "%s: %s", sql, SPI_result_code_string(SPI_result));
    return prepared;
}

}  // namespace

char *insert_statement(Relation target, int ncolumns, const char *const *columns) {
    constexpr uint16 full_name = FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY;
    StringInfoData names, values, types;
    initStringInfo(&names);
    initStringInfo(&values);
    initStringInfo(&types);
    for (int i = 0; i < ncolumns; i++) {
        const char *comma = i > 0 ? ", " : "";
        Form_pg_attribute attribute = column_of(target, columns[i]);
        appendStringInfo(&names, "%s%s", comma, quote_identifier(columns[i]));
        appendStringInfo(&values, "%sr.c%d", comma, i + 1);
        appendStringInfo(
            &types, "%sc%d %s", comma, i + 1,
            format_type_extended(attribute->atttypid, attribute->atttypmod, full_name));
    }
    // A table of no columns gets rows of defaults; a function needs at least one.
    return psprintf("INSERT INTO %s %s%s%s %s SELECT %s FROM fastcopy.incoming_rows() AS r(%s)",
                    quoted_relation(RelationGetRelid(target)), ncolumns > 0 ? "(" : "", names.data,
                    ncolumns > 0 ? ")" : "", ncolumns > 0 ? "OVERRIDING SYSTEM VALUE" : "",
                    values.data, ncolumns > 0 ? types.data : "c1 boolean");
}

Writer choose_writer(Relation target, int ncolumns, const char *const *columns) {
    switch (target->rd_rel->relkind) {
        case RELKIND_VIEW:
            return Writer{Way::insert, "it is a view", false, false};
        case RELKIND_FOREIGN_TABLE:
            return Writer{Way::insert, "it is a foreign table", false, false};
        case RELKIND_PARTITIONED_TABLE:
            if (has_foreign_leaf(target))
                return Writer{Way::insert, "it has foreign tables as partitions", false, false};
            break;
        default:
            break;
    }
    MemoryContext caller = CurrentMemoryContext;
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
    CachedPlan *plan = SPI_plan_get_cached_plan(prepare(target, ncolumns, columns));
    MemoryContext spi = MemoryContextSwitchTo(caller);
    Writer writer = judge(target, plan != nullptr ? plan->stmt_list : NIL);
    MemoryContextSwitchTo(spi);
    if (plan != nullptr)
        ReleaseCachedPlan(plan, nullptr);
    SPI_finish();
    return writer;
}

}  // namespace fastcopy::sink
