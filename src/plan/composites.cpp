#include "plan/composites.hpp"

#include "plan/type_parts.hpp"

namespace fastcopy::plan {

using source::Rows;

namespace {

// The maximum depth of nested types; a malicious source might report cycles.
constexpr int deepest = 100;

// The source's answer about the types of its columns: a row per type and attribute.
enum Field : int { type_oid, type_kind, type_name, inner_oid, attribute_name, attribute_type };

struct Comparison {
    const char *column;
    Rows types;
};

Rows read_types(source::Connection *connection, const SourceTable &table) {
    const char *ranges = source::server_version(connection) >= 140000
                             ? "y.oid IN (r.rngtypid, r.rngmultitypid)"
                             : "y.oid = r.rngtypid";
    // Inner: what a domain, an array or a range is made of.
    char *inner = psprintf(
        "CASE WHEN y.typtype = 'd' THEN y.typbasetype"
        " WHEN y.typelem <> 0 AND y.typlen = -1 THEN y.typelem"
        " ELSE (SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE %s) END",
        ranges);
    char *sql = psprintf(
        "WITH RECURSIVE t(oid) AS ("
        " SELECT atttypid FROM pg_catalog.pg_attribute"
        " WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped"
        " UNION SELECT u.oid FROM t JOIN pg_catalog.pg_type y ON y.oid = t.oid"
        " CROSS JOIN LATERAL (SELECT %s AS oid UNION ALL SELECT m.atttypid"
        " FROM pg_catalog.pg_attribute m WHERE m.attrelid = y.typrelid AND m.attnum > 0"
        " AND NOT m.attisdropped) u WHERE u.oid IS NOT NULL)"
        " SELECT y.oid, y.typtype, pg_catalog.format_type(y.oid, NULL), %s, m.attname, m.atttypid"
        " FROM t JOIN pg_catalog.pg_type y ON y.oid = t.oid"
        " LEFT JOIN pg_catalog.pg_attribute m ON m.attrelid = y.typrelid AND m.attnum > 0"
        " AND NOT m.attisdropped ORDER BY y.oid, m.attnum",
        inner, inner);
    const char *oid = psprintf("%u", table.oid);
    return source::query(connection, sql, 1, &oid);
}

// The first row of a type, and the number of its rows; -1 if the answer does not have the type.
int find_type(const Rows &types, Oid oid, int *count) {
    const char *wanted = psprintf("%u", oid);
    int first = -1;
    *count = 0;
    for (int i = 0; i < types.count; i++) {
        if (strcmp(types.at(i, type_oid), wanted) != 0)
            continue;
        if (first < 0)
            first = i;
        (*count)++;
    }
    return first;
}

Oid oid_of(const Rows &rows, int row, Field field) {
    if (rows.at_or_null(row, field) == nullptr)
        return InvalidOid;
    return static_cast<Oid>(rows.number_at(row, field, 0, OID_MAX));
}

bool is_composite(Oid type) {
    return get_typtype(type) == TYPTYPE_COMPOSITE;
}

// The kind of layer around an inner type. Domains are resolved on both sides, the other kinds must
// be equal.
char layer_of(Oid type) {
    char kind = get_typtype(type);
    return kind == TYPTYPE_BASE && OidIsValid(get_element_type(type)) ? 'a' : kind;
}

[[noreturn]] void raise_differs(const Comparison &comparison, const char *type, char *detail) {
    ereport(ERROR,
            (errcode(ERRCODE_DATATYPE_MISMATCH),
             errmsg("composite type %s of column \"%s\" differs between source and target", type,
                    comparison.column),
             errdetail_internal("%s", detail),
             errhint("Attributes of composite values are matched by position. Create "
                     "the type with the same attributes in the same order, or leave the column out "
                     "with columns => ARRAY[...].")));
}

void compare_types(const Comparison &comparison, Oid theirs, Oid ours, int depth);

// Both are composite; `row` and `count` are the source's attributes.
void compare_attributes(const Comparison &comparison, int row, int count, Oid ours, int depth) {
    const Rows &types = comparison.types;
    const char *name = types.at(row, type_name);
    if (types.at_or_null(row, attribute_name) == nullptr)
        count = 0;  // a type without attributes has a row for itself
    TupleDesc tupdesc = lookup_rowtype_tupdesc_copy(ours, -1);
    int place = 0;
    for (int i = 0; i < tupdesc->natts; i++) {
        Form_pg_attribute attribute = TupleDescAttr(tupdesc, i);
        if (attribute->attisdropped)
            continue;
        const char *here = NameStr(attribute->attname);
        if (place >= count)
            raise_differs(comparison, name,
                          psprintf(_("Attribute \"%s\" exists on the target only."), here));
        const char *there = types.at(row + place, attribute_name);
        if (strcmp(here, there) != 0)
            raise_differs(
                comparison, name,
                psprintf(_("Attribute %d is \"%s\" on the source and \"%s\" on the target."),
                         place + 1, there, here));
        compare_types(comparison, oid_of(types, row + place, attribute_type), attribute->atttypid,
                      depth + 1);
        place++;
    }
    if (place < count)
        raise_differs(comparison, name,
                      psprintf(_("Attribute \"%s\" exists on the source only."),
                               types.at(row + place, attribute_name)));
}

void compare_types(const Comparison &comparison, Oid theirs, Oid ours, int depth) {
    check_stack_depth();
    CHECK_FOR_INTERRUPTS();
    if (depth > deepest)
        source::raise_odd_answer("The source returned a type that is nested too deeply.");
    int count;
    int row = find_type(comparison.types, theirs, &count);
    if (row < 0)
        return;
    char kind = comparison.types.at(row, type_kind)[0];
    Oid inner = oid_of(comparison.types, row, inner_oid);
    if (kind == TYPTYPE_DOMAIN)
        return compare_types(comparison, inner, ours, depth + 1);
    ours = getBaseType(ours);
    if (kind == TYPTYPE_COMPOSITE && is_composite(ours))
        return compare_attributes(comparison, row, count, ours, depth);
    char layer = kind == TYPTYPE_BASE && OidIsValid(inner) ? 'a' : kind;
    if (OidIsValid(inner) && OidIsValid(inner_type(ours)) && layer == layer_of(ours))
        compare_types(comparison, inner, inner_type(ours), depth + 1);
}

Oid column_type(const SourceTable &table, source::Connection *connection, const char *column) {
    const char *params[] = {psprintf("%u", table.oid), column};
    Rows rows = source::query(connection,
                              "SELECT atttypid FROM pg_catalog.pg_attribute"
                              " WHERE attrelid = $1 AND attname = $2 AND NOT attisdropped",
                              2, params);
    return rows.count == 1 ? static_cast<Oid>(rows.number_at(0, 0, 0, OID_MAX)) : InvalidOid;
}

}  // namespace

void check_composites(source::Connection *connection, const SourceTable &table,
                      const RowShape &shape, Relation target) {
    Comparison comparison{};
    for (int i = 0; i < shape.ncolumns; i++) {
        Oid ours = get_atttype(RelationGetRelid(target),
                               get_attnum(RelationGetRelid(target), shape.columns[i]));
        if (!OidIsValid(ours) || !any_part(ours, is_composite))
            continue;
        if (comparison.column == nullptr)
            comparison.types = read_types(connection, table);
        comparison.column = shape.columns[i];
        compare_types(comparison, column_type(table, connection, shape.columns[i]), ours, 0);
    }
}

}  // namespace fastcopy::plan
