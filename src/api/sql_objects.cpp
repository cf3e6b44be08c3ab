#include "api/sql_objects.hpp"

#include "pg/postgres.hpp"
#include "version.hpp"

namespace fastcopy::api {

namespace {

constexpr const char *extension = "pg_fastcopy";

// The version of the extension in this database; nullptr if it is not installed.
const char *installed_version() {
    Relation catalog = table_open(ExtensionRelationId, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
                CStringGetDatum(extension));
    SysScanDesc scan = systable_beginscan(catalog, ExtensionNameIndexId, true, nullptr, 1, &key);
    const char *version = nullptr;
    if (HeapTuple tuple = systable_getnext(scan); HeapTupleIsValid(tuple)) {
        bool is_null;
        Datum value =
            heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(catalog), &is_null);
        version = is_null ? "" : TextDatumGetCString(value);
    }
    systable_endscan(scan);
    table_close(catalog, AccessShareLock);
    return version;
}

}  // namespace

void check_sql_objects() {
    if (creating_extension)
        return;
    const char *version = installed_version();
    if (version == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("extension \"%s\" is not installed in this database", extension),
                        errhint("Run CREATE EXTENSION %s.", extension)));
    if (strcmp(version, FASTCOPY_VERSION) != 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("extension \"%s\" has version %s in this database, but the library "
                               "has version %s",
                               extension, version, FASTCOPY_VERSION),
                        errhint("Run ALTER EXTENSION %s UPDATE.", extension)));
}

}  // namespace fastcopy::api
