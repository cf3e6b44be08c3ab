// The foreign data wrapper pg_fastcopy, which keeps connections to sources in CREATE SERVER and
// CREATE USER MAPPING. It has no handler, so it cannot have foreign tables; its validator knows
// libpq's options.
#include "source/foreign_server.hpp"

namespace fastcopy::api {

namespace {

bool belongs_here(const char *keyword, Oid catalog) {
    if (catalog == UserMappingRelationId)
        return source::is_mapping_option(keyword) || strcmp(keyword, "password_required") == 0;
    return catalog == ForeignServerRelationId && source::is_libpq_option(keyword) &&
           !source::is_mapping_option(keyword);
}

[[noreturn]] void raise_invalid_option(const char *keyword, Oid catalog) {
    const char *hint =
        catalog == UserMappingRelationId
            ? "Valid options of a user mapping are user, password, other secrets of libpq, and "
              "password_required."
        : catalog == ForeignServerRelationId
            ? "Valid options of a server are libpq's connection options, except those of a user "
              "mapping."
            : "There are no valid options in this context.";
    ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
                    errmsg("invalid option \"%s\"", keyword), errhint("%s", hint)));
}

void check_option(const DefElem *option, Oid catalog) {
    const char *keyword = option->defname;
    if (!belongs_here(keyword, catalog))
        raise_invalid_option(keyword, catalog);
    bool waives =
        strcmp(keyword, "password_required") == 0 && !defGetBoolean(const_cast<DefElem *>(option));
    if ((waives || source::is_for_superusers(keyword)) && !superuser())
        ereport(
            ERROR,
            (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
             waives ? errmsg("password_required=false is superuser-only")
                    : errmsg("connection option \"%s\" is superuser-only", keyword),
             errhint("User mappings with the password_required option set to false, and options "
                     "that use files of the server's account, may only be set by a superuser.")));
}

}  // namespace
}  // namespace fastcopy::api

extern "C" {

PG_FUNCTION_INFO_V1(fastcopy_fdw_validator);

// fastcopy.fdw_validator(options text[], catalog oid): raises an ERROR unless all options belong
// there.
PGDLLEXPORT Datum fastcopy_fdw_validator(PG_FUNCTION_ARGS) {
    List *options = untransformRelOptions(PG_GETARG_DATUM(0));
    Oid catalog = PG_GETARG_OID(1);
    ListCell *cell;
    foreach (cell, options)
        fastcopy::api::check_option(static_cast<DefElem *>(lfirst(cell)), catalog);
    PG_RETURN_VOID();
}
}
