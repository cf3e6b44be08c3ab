// fastcopy.check, table by table: columns and their formats, the target, the source's consent.
#include "plan/answers.hpp"
#include "plan/composites.hpp"
#include "plan/money.hpp"
#include "plan/name_types.hpp"
#include "plan/probe.hpp"
#include "plan/row_shape.hpp"
#include "run/check_steps.hpp"
#include "run/local_query.hpp"
#include "run/preparation_steps.hpp"
#include "sink/target.hpp"
#include "sink/target_lock.hpp"

namespace fastcopy::run::check {

namespace {

// The columns of a table that is created by the source's definition.
job::TargetColumns as_created(const plan::SourceColumns &source) {
    job::TargetColumns target{
        0, static_cast<job::TargetColumn *>(
               palloc(sizeof(job::TargetColumn) * static_cast<Size>(source.count) + 1))};
    for (int i = 0; i < source.count; i++) {
        const plan::SourceColumn &column = source.columns[i];
        if (column.is_system)
            continue;
        target.columns[target.count++] =
            job::TargetColumn{.name = column.name,
                              .generated = column.generated,
                              // Others have another one here.
                              .type = column.built_in ? column.type : InvalidOid,
                              .type_name = column.type_name,
                              .type_kind = column.type_kind,
                              .built_in = column.built_in,
                              .is_array = column.is_array,
                              .has_binary = column.has_binary,
                              .layout = column.layout};
    }
    return target;
}

plan::RowShape match(const Check &check, int n, const job::TargetColumns &target) {
    const char *integer_datetimes = source::parameter(check.connection, "integer_datetimes");
    bool has_integer_datetimes =
        integer_datetimes == nullptr || strcmp(integer_datetimes, "on") == 0;
    return plan::match_columns(check.request, check.request.tables[n], check.columns[n], target,
                               source::server_version(check.connection), has_integer_datetimes);
}

// Says why rows go as text, if they do.
void explain_format(Check *check, int n, const plan::RowShape &shape) {
    if (shape.binary || shape.ncolumns == 0)
        return;
    const char *name = check->request.tables[n].target_table;
    const plan::SourceColumn *column =
        shape.text_because != nullptr ? plan::find_column(check->columns[n], shape.text_because)
                                      : nullptr;
    const char *why = _("the source does not store times as integers");
    if (column != nullptr)
        why = check->request.source_encoding != nullptr
                  ? psprintf(_("column \"%s\" is of type %s, which has text to convert"),
                             column->name, column->type_name)
                  : psprintf(_("column \"%s\" is of type %s, whose binary form both sides are not "
                               "known to share"),
                             column->name, column->type_name);
    check->add(Severity::info, name, psprintf(_("rows go as text: %s"), why),
               _("Text takes longer to write and to read than binary."));
}

// The shape of a table's rows, without a look at the target.
plan::RowShape shape_of_created(const Check &check, int n) {
    return match(check, n, as_created(check.columns[n]));
}

// Says that rows will be added to others. Tables that inherit from this one are tables of their own.
void look_for_rows(Check *check, int n) {
    const job::Table &table = check->request.tables[n];
    char kind = get_rel_relkind(table.target);
    if (check->request.truncate ||
        (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE) ||
        pg_class_aclcheck(table.target, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
        return;
    const char *only = check->tables[n].alone ? "ONLY " : "";
    if (query_here(psprintf("SELECT FROM %s%s LIMIT 1", only, table.target_table)).count > 0)
        check->add(Severity::warning, table.target_table, _("the target table has rows already"),
                   _("Those of the source are added. To replace what is there, use truncate => "
                     "true."));
}

}  // namespace

void read_table(Check *check, int n) {
    const job::Table &table = check->request.tables[n];
    if (check->request.create) {
        plan::RowShape shape = shape_of_created(*check, n);
        plan::check_money(check->connection, shape);
        return explain_format(check, n, shape);
    }
    if (!OidIsValid(table.target))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("table %s of the source does not exist here", table.target_table),
                        errhint("Have it created with definitions => 'create', or leave it out "
                                "with the argument \"exclude\".")));
    if (RecoveryInProgress())
        return;
    sink::check_may_write(table.target, check->request.truncate, sink::Maintenance::of_tables);
    Relation target = sink::open_target(table.target);
    plan::RowShape shape = match(*check, n, sink::read_columns(target));
    (void)sink::check_insert(target, shape.ncolumns, shape.columns);
    plan::check_composites(check->connection, check->tables[n], shape, target);
    plan::check_money(check->connection, shape);
    if (sink::stores_elsewhere(target))
        check->add(Severity::warning, table.target_table,
                   _("rows of foreign tables cannot be copied exactly once"),
                   _("If a commit fails half way, the job fails and reports the chunk."));
    else
        look_for_rows(check, n);
    explain_format(check, n, shape);
    table_close(target, NoLock);
}

void probe_table(Check *check, int n) {
    plan::RowShape shape = shape_of_created(*check, n);
    plan::probe_by_any_path(check->connection, check->tables[n], shape,
                            plan::prints_names(shape, check->columns[n]));
}

}  // namespace fastcopy::run::check
