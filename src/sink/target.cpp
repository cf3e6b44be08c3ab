#include "sink/target.hpp"

#include "pg/insert.hpp"
#include "sink/leaves.hpp"

namespace fastcopy::sink {

namespace {

bool has_binary(Oid type) {
    HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
    if (!HeapTupleIsValid(tuple))
        return false;
    auto *form = reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple));
    bool result = OidIsValid(form->typsend) && OidIsValid(form->typreceive);
    ReleaseSysCache(tuple);
    return result;
}

// The same text as the source computes for plan::read_columns.
const char *layout_of(Form_pg_type type) {
    auto function = [](Oid oid) {
        const char *name = OidIsValid(oid) ? get_func_name(oid) : nullptr;
        return name != nullptr ? psprintf(" %s", name) : "";
    };
    return psprintf("%d %s %c%s%s", type->typlen, type->typbyval ? "t" : "f", type->typalign,
                    function(type->typsend), function(type->typreceive));
}

// Except the trigger that TimescaleDB adds to each hypertable, which raises an error if it ever
// fires.
bool has_row_trigger_before(const TriggerDesc *triggers) {
    if (triggers == nullptr || !triggers->trig_insert_before_row)
        return false;
    for (int i = 0; i < triggers->numtriggers; i++) {
        const Trigger &trigger = triggers->triggers[i];
        if (TRIGGER_FOR_ROW(trigger.tgtype) && TRIGGER_FOR_BEFORE(trigger.tgtype) &&
            TRIGGER_FOR_INSERT(trigger.tgtype) && strcmp(trigger.tgname, "ts_insert_blocker") != 0)
            return true;
    }
    return false;
}

}  // namespace

Relation open_target(Oid relid) {
    Relation target = try_table_open(relid, RowExclusiveLock);
    if (target == nullptr)
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("the target table no longer exists"),
                 errdetail("The table had OID %u.", relid)));

    const char *name = RelationGetRelationName(target);
    if (IsSystemRelation(target))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("cannot copy into system catalog \"%s\"", name)));
    if (target->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
        ereport(ERROR,
                (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                 errmsg("cannot copy into temporary table \"%s\"", name),
                 errdetail("Background workers cannot see the temporary tables of a session."),
                 errhint("Copy into a regular or an unlogged table.")));
    switch (target->rd_rel->relkind) {
        case RELKIND_RELATION:
        case RELKIND_PARTITIONED_TABLE:
        case RELKIND_FOREIGN_TABLE:
            break;
        case RELKIND_VIEW:
            if (target->trigdesc != nullptr && target->trigdesc->trig_insert_instead_row)
                break;
            ereport(ERROR,
                    (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("cannot copy to view \"%s\"", name),
                     errhint("To enable copying to a view, provide an INSTEAD OF INSERT "
                             "trigger.")));
        default:
            ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                            errmsg("cannot copy to non-table relation \"%s\"", name)));
    }
    return target;
}

ParseState *check_insert(Relation target, int ncolumns, const char *const *columns) {
    ParseState *pstate = make_parsestate(nullptr);
    ParseNamespaceItem *item =
        addRangeTableEntryForRelation(pstate, target, RowExclusiveLock, nullptr, false, false);
    pg::Permissions *permissions = pg::permissions_of(item);
    permissions->requiredPerms = ACL_INSERT;
    for (int i = 0; i < ncolumns; i++) {
        AttrNumber attnum = get_attnum(RelationGetRelid(target), columns[i]);
        if (attnum == InvalidAttrNumber)
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                            errmsg("column \"%s\" of target table \"%s\" does not exist",
                                   columns[i], RelationGetRelationName(target))));
        permissions->insertedCols =
            bms_add_member(permissions->insertedCols, attnum - FirstLowInvalidHeapAttributeNumber);
    }
    pg::check_permissions(pstate);

    if (check_enable_rls(RelationGetRelid(target), InvalidOid, false) == RLS_ENABLED)
        ereport(
            ERROR,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
             errmsg("cannot copy into \"%s\" because of its row-level security",
                    RelationGetRelationName(target)),
             errdetail("Row security applies to role \"%s\", and COPY FROM does not support it.",
                       GetUserNameFromId(GetUserId(), false)),
             errhint("Run the job as the table's owner or as a role with BYPASSRLS.")));
    return pstate;
}

bool stores_elsewhere(Relation target) {
    switch (target->rd_rel->relkind) {
        case RELKIND_FOREIGN_TABLE:
            return true;
        case RELKIND_PARTITIONED_TABLE:
            return has_foreign_leaf(target);
        default:
            return false;
    }
}

bool has_foreign_leaf(Relation target) {
    List *relids = find_all_inheritors(RelationGetRelid(target), NoLock, nullptr);
    bool found = false;
    ListCell *cell;
    foreach (cell, relids)
        found = found || get_rel_relkind(lfirst_oid(cell)) == RELKIND_FOREIGN_TABLE;
    list_free(relids);
    return found;
}

bool may_drop_rows(Relation target) {
    switch (target->rd_rel->relkind) {
        case RELKIND_RELATION:
            return has_row_trigger_before(target->trigdesc);
        case RELKIND_PARTITIONED_TABLE:
            return !has_plain_leaves(target);
        default:
            return true;
    }
}

job::TargetColumns read_columns(Relation target) {
    TupleDesc tupdesc = RelationGetDescr(target);
    job::TargetColumns columns{};
    columns.columns = static_cast<job::TargetColumn *>(
        palloc0(sizeof(job::TargetColumn) * Max(tupdesc->natts, 1)));
    for (int i = 0; i < tupdesc->natts; i++) {
        Form_pg_attribute attribute = TupleDescAttr(tupdesc, i);
        if (attribute->attisdropped)
            continue;
        job::TargetColumn *column = &columns.columns[columns.count++];
        column->name = pstrdup(NameStr(attribute->attname));
        column->generated = attribute->attgenerated != '\0';
        column->type = getBaseType(attribute->atttypid);

        HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(column->type));
        if (!HeapTupleIsValid(tuple))
            elog(ERROR, "cache lookup failed for type %u", column->type);
        auto *type = reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple));
        column->type_name = pstrdup(NameStr(type->typname));
        column->type_kind = type->typtype;
        column->built_in = column->type < FirstGenbkiObjectId;
        column->is_array = OidIsValid(type->typelem) && type->typlen == -1;
        column->layout = layout_of(type);
        Oid element = type->typelem;
        ReleaseSysCache(tuple);
        column->has_binary =
            has_binary(column->type) && (!OidIsValid(element) || has_binary(element));
    }
    return columns;
}

void check_types(Relation target, int ncolumns, const char *const *columns, const Oid *types) {
    for (int i = 0; i < ncolumns; i++) {
        AttrNumber attnum = get_attnum(RelationGetRelid(target), columns[i]);
        if (attnum <= 0)
            continue;  // check_insert has a better error
        Oid type = getBaseType(TupleDescAttr(RelationGetDescr(target), attnum - 1)->atttypid);
        if (type != types[i])
            ereport(
                ERROR,
                (errcode(ERRCODE_DATATYPE_MISMATCH),
                 errmsg("type of column \"%s\" of target table \"%s\" has changed since the job "
                        "was planned",
                        columns[i], RelationGetRelationName(target)),
                 errdetail("The type was %s and is now %s.", format_type_be(types[i]),
                           format_type_be(type)),
                 errhint("Start the copy again.")));
    }
}

bool has_insert_trigger(Relation target) {
    const TriggerDesc *triggers = target->trigdesc;
    for (int i = 0; triggers != nullptr && i < triggers->numtriggers; i++) {
        const Trigger &trigger = triggers->triggers[i];
        if (!trigger.tgisinternal && TRIGGER_FOR_INSERT(trigger.tgtype))
            return true;
    }
    return false;
}

}  // namespace fastcopy::sink
