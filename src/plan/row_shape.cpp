#include "plan/row_shape.hpp"

#include "pg/types.hpp"

namespace fastcopy::plan {

namespace {

// Built-in types whose binary form means something else on another server: reg* types send OIDs,
// which differ between databases, and money depends on lc_monetary. And those whose receive function
// does not read all that their send function writes: empty vectors, empty tsqueries.
bool is_local_by_nature(Oid type) {
    switch (type) {
        case REGPROCOID:
        case REGPROCEDUREOID:
        case REGOPEROID:
        case REGOPERATOROID:
        case REGCLASSOID:
        case REGCOLLATIONOID:
        case REGTYPEOID:
        case REGCONFIGOID:
        case REGDICTIONARYOID:
        case REGROLEOID:
        case REGNAMESPACEOID:
        case MONEYOID:
        case REGPROCARRAYOID:
        case REGPROCEDUREARRAYOID:
        case REGOPERARRAYOID:
        case REGOPERATORARRAYOID:
        case REGCLASSARRAYOID:
        case REGCOLLATIONARRAYOID:
        case REGTYPEARRAYOID:
        case REGCONFIGARRAYOID:
        case REGDICTIONARYARRAYOID:
        case REGROLEARRAYOID:
        case REGNAMESPACEARRAYOID:
        case MONEYARRAYOID:
        case INT2VECTOROID:
        case OIDVECTOROID:
        case INT2VECTORARRAYOID:
        case OIDVECTORARRAYOID:
        case TSQUERYOID:
        case TSQUERYARRAYOID:
            return true;
        default:
            return pg::is_regdatabase(type);
    }
}

// Built-in types whose binary form contains no text, and so no encoding.
bool is_free_of_text(Oid type) {
    switch (type) {
        case BOOLOID:
        case INT2OID:
        case INT4OID:
        case INT8OID:
        case OIDOID:
        case FLOAT4OID:
        case FLOAT8OID:
        case NUMERICOID:
        case DATEOID:
        case TIMEOID:
        case TIMETZOID:
        case TIMESTAMPOID:
        case TIMESTAMPTZOID:
        case INTERVALOID:
        case BYTEAOID:
        case UUIDOID:
            return true;
        default:
            return false;
    }
}

// From version 17 on, intervals can be infinite; an older server would read that as a finite value.
bool has_new_values(Oid type, int source_version) {
    constexpr int version_with_infinite_intervals = 170000;
    return (type == INTERVALOID || type == INTERVALARRAYOID) &&
           source_version >= version_with_infinite_intervals &&
           PG_VERSION_NUM < version_with_infinite_intervals;
}

// Whether the target's receive function reads what the source's send function writes:
//
//   both built in      the same type, or text and varchar; not those above
//   both enums         yes: labels are sent, whatever the types' names
//   both others        base types of the same name, layout, send and receive functions
//   arrays, ranges     of user-defined types: no, they contain the OID of their element type
//   composite types    no, they contain the OIDs of their attributes' types
bool agree_in_binary(const SourceColumn &source, const job::TargetColumn &target) {
    if (!source.has_binary || !target.has_binary)
        return false;
    if (source.built_in != target.built_in || source.type_kind != target.type_kind)
        return false;
    if (source.type_kind == TYPTYPE_ENUM)
        return true;
    if (source.built_in) {
        if (source.type_kind != TYPTYPE_BASE && source.type_kind != TYPTYPE_RANGE &&
            source.type_kind != TYPTYPE_MULTIRANGE)
            return false;
        auto is_text = [](Oid type) { return type == TEXTOID || type == VARCHAROID; };
        if (is_text(source.type) && is_text(target.type))
            return true;
        return source.type == target.type && !is_local_by_nature(source.type);
    }
    return source.type_kind == TYPTYPE_BASE && !source.is_array && !target.is_array &&
           strcmp(source.type_name, target.type_name) == 0 &&
           strcmp(source.layout, target.layout) == 0;
}

// Whether the source's type writes text in the format of the target's type, rather than arbitrary
// strings; see sink/as_written.hpp.
bool is_written_by_type(const SourceColumn &source, const job::TargetColumn &target) {
    if (source.is_array || target.is_array)
        return source.is_array && target.is_array;
    if (source.type_kind != TYPTYPE_BASE)
        return source.type_kind == target.type_kind;
    return source.built_in == target.built_in && strcmp(source.type_name, target.type_name) == 0;
}

[[noreturn]] void raise_no_place(const job::Table &table, const char *name, bool generated) {
    ereport(
        ERROR,
        (errcode(generated ? ERRCODE_INVALID_COLUMN_REFERENCE : ERRCODE_UNDEFINED_COLUMN),
         generated ? errmsg("cannot copy into generated column \"%s\" of target table \"%s\"", name,
                            table.target_table)
                   : errmsg("column \"%s\" of source table \"%s\" does not exist in target table "
                            "\"%s\"",
                            name, table.source_table, table.target_table),
         generated ? errhint("Leave the column out with columns => ARRAY[...].")
                   : errhint("Leave the column out with columns => ARRAY[...], or add it to the "
                             "target.")));
}

}  // namespace

RowShape match_columns(const job::Request &request, const job::Table &table,
                       const SourceColumns &source, const job::TargetColumns &target,
                       int source_version, bool integer_datetimes) {
    bool all = table.ncolumns < 0;
    int wanted = all ? source.count : table.ncolumns;
    RowShape shape{};
    shape.columns = static_cast<const char **>(palloc(sizeof(char *) * Max(wanted, 1)));
    shape.types = static_cast<Oid *>(palloc(sizeof(Oid) * Max(wanted, 1)));
    shape.as_written = static_cast<bool *>(palloc(sizeof(bool) * Max(wanted, 1)));
    shape.filter = table.filter;
    shape.binary = integer_datetimes;

    for (int i = 0; i < wanted; i++) {
        const char *name = all ? source.columns[i].name : table.columns[i];
        const SourceColumn *column = find_column(source, name);
        if (column == nullptr)
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                            errmsg("column \"%s\" of source table \"%s\" does not exist", name,
                                   table.source_table)));
        for (int j = 0; j < shape.ncolumns; j++) {
            if (strcmp(shape.columns[j], name) == 0)
                ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
                                errmsg("column \"%s\" specified more than once", name)));
        }
        const job::TargetColumn *place = job::find_column(target, name);
        // Copy the oid of a table WITH OIDS only into a column of that name.
        if (all && column->is_system && (place == nullptr || place->generated))
            continue;
        // Copy a generated column only into a column that the target does not generate.
        if (all && column->generated && (place == nullptr || place->generated))
            continue;
        if (place == nullptr)
            raise_no_place(table, name, false);
        if (place->generated) {
            if (all)
                continue;
            raise_no_place(table, name, true);
        }
        shape.types[shape.ncolumns] = place->type;
        shape.as_written[shape.ncolumns] = is_written_by_type(*column, *place);
        shape.columns[shape.ncolumns++] = column->name;
        bool fits_encoding = request.source_encoding == nullptr || is_free_of_text(column->type);
        if (!agree_in_binary(*column, *place) || has_new_values(column->type, source_version) ||
            !fits_encoding) {
            shape.binary = false;
            if (shape.text_because == nullptr)
                shape.text_because = column->name;
        }
    }
    // Rows of generated columns alone are copied, by their number; a table without columns only
    // into another one.
    if (source.count == 0 && target.count > 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("no column of source table \"%s\" can be copied into \"%s\"",
                               table.source_table, table.target_table)));
    // Rows without columns are counted by their lines.
    shape.binary = shape.binary && shape.ncolumns > 0;
    return shape;
}

}  // namespace fastcopy::plan
