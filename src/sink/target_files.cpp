#include "sink/target_files.hpp"

namespace fastcopy::sink {

namespace {

bool registered = false;
bool changed = true;

void note_change(Datum, Oid) noexcept {
    changed = true;
}

bool contains(const job::TargetFiles &files, const char *file) {
    for (int i = 0; i < files.count; i++) {
        if (strcmp(files.files[i], file) == 0)
            return true;
    }
    return false;
}

}  // namespace

job::TargetFiles read_files(Oid relid) {
    job::TargetFiles files{};
    if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
        return files;
    List *relids = find_all_inheritors(relid, NoLock, nullptr);
    files.files = static_cast<const char **>(palloc(sizeof(char *) * Max(list_length(relids), 1)));
    ListCell *cell;
    foreach (cell, relids) {
        HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(lfirst_oid(cell)));
        if (!HeapTupleIsValid(tuple))
            continue;  // dropped meanwhile
        auto *form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
        bool temporary = form->relpersistence == RELPERSISTENCE_TEMP;
        if (OidIsValid(form->relfilenode) && !temporary)
            files.files[files.count++] = psprintf("%u %u", form->oid, form->relfilenode);
        files.unlogged = files.unlogged || form->relpersistence == RELPERSISTENCE_UNLOGGED;
        ReleaseSysCache(tuple);
    }
    return files;
}

job::TargetFiles without(const job::TargetFiles &files, const job::TargetFiles &others) {
    job::TargetFiles rest{};
    rest.unlogged = files.unlogged;
    rest.files = static_cast<const char **>(palloc(sizeof(char *) * Max(files.count, 1)));
    for (int i = 0; i < files.count; i++) {
        // Usually both lists are equal.
        bool same_place = i < others.count && strcmp(files.files[i], others.files[i]) == 0;
        if (!same_place && !contains(others, files.files[i]))
            rest.files[rest.count++] = files.files[i];
    }
    return rest;
}

void raise_rows_lost(const char *target_table, const char *reason) {
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("target table %s may have lost rows that were copied into it", target_table),
             errdetail_internal("%s", reason),
             errhint("If no rows are missing, resume with accept_changes => true; otherwise start "
                     "over with "
                     "truncate => true.")));
}

void raise_files_lost(const char *target_table) {
    raise_rows_lost(
        target_table,
        _("The table has other files, as after TRUNCATE, VACUUM FULL, CLUSTER or some ALTER "
          "TABLEs, or has lost partitions."));
}

void look_again() noexcept {
    changed = true;
}

bool catalogs_have_changed() {
    if (!registered) {
        CacheRegisterRelcacheCallback(note_change, 0);
        registered = true;
    }
    bool result = changed;
    changed = false;
    return result;
}

}  // namespace fastcopy::sink
