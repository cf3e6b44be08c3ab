#include "sink/partitioned_key.hpp"

#include "core/dump_text.hpp"
#include "pg/foreign_key.hpp"
#include "sink/foreign_keys.hpp"
#include "sink/local_sql.hpp"

namespace fastcopy::sink {

namespace {

const char *terminated(std::string_view text) {
    return pnstrdup(text.data(), text.size());
}

// Locks a table by its name as SQL, as ALTER TABLE does, with its partitions. InvalidOid, without a
// lock, if it is not partitioned.
Oid lock_partitioned(std::string_view name, LOCKMODE mode) {
    Oid table =
        DatumGetObjectId(DirectFunctionCall1(regclassin, CStringGetDatum(terminated(name))));
    if (get_rel_relkind(table) != RELKIND_PARTITIONED_TABLE)
        return InvalidOid;
    LockRelationOid(table, mode);
    (void)find_all_inheritors(table, mode, nullptr);
    return table;
}

Oid find_key(Oid table, std::string_view quoted_name) {
    List *names = NIL;
    if (!SplitIdentifierString(pnstrdup(quoted_name.data(), quoted_name.size()), '.', &names) ||
        list_length(names) != 1)
        elog(ERROR, "invalid name of a constraint");
    return get_relation_constraint_oid(table, static_cast<char *>(linitial(names)), false);
}

// The statement on its own fails up to version 17. What is marked valid here, so that it becomes a part
// of the new key, is not seen by others.
void add_as_if_not_valid(Oid table, const core::ForeignKeyText &key) {
    List *parts = find_keys_not_valid(table, psprintf("%s NOT VALID", terminated(key.key)));
    ListCell *cell;
    foreach (cell, parts)
        set_validated(lfirst_oid(cell), true);
    run_local(terminated(key.statement));
    set_validated(find_key(table, key.constraint), false);
    foreach (cell, parts) {
        if (!is_inherited(lfirst_oid(cell)))
            set_validated(lfirst_oid(cell), false);
    }
}

}  // namespace

bool add_partitioned_key(const char *sql) {
    core::ForeignKeyText key;
    if (!core::parse_foreign_key(sql, &key) || key.only || !key.not_valid)
        return false;
    Oid table = lock_partitioned(key.table, ShareRowExclusiveLock);
    if (!OidIsValid(table))
        return false;
    if (pg::adds_partitioned_keys_not_valid)
        run_local(sql);
    else
        add_as_if_not_valid(table, key);
    return true;
}

bool validate_partitioned_key(const char *sql) {
    core::ForeignKeyText key;
    if (!core::parse_foreign_key(sql, &key) || !key.key.empty())
        return false;
    Oid table = lock_partitioned(key.table, ShareUpdateExclusiveLock);
    if (!OidIsValid(table))
        return false;
    Oid oid = find_key(table, key.constraint);
    if (!check_foreign_key(oid))
        elog(ERROR, "foreign key %u is gone in spite of a lock", oid);
    set_validated(oid, true);
    return true;
}

}  // namespace fastcopy::sink
