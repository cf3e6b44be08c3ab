// Checks of privileges, with the same functions on all versions.
#ifndef FASTCOPY_PG_ACL_HPP
#define FASTCOPY_PG_ACL_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

inline AclResult check_schema(Oid schema, Oid role, AclMode mode) {
#if PG_VERSION_NUM >= 160000
    return object_aclcheck(NamespaceRelationId, schema, role, mode);
#else
    return pg_namespace_aclcheck(schema, role, mode);
#endif
}

inline AclResult check_tablespace(Oid tablespace, Oid role, AclMode mode) {
#if PG_VERSION_NUM >= 160000
    return object_aclcheck(TableSpaceRelationId, tablespace, role, mode);
#else
    return pg_tablespace_aclcheck(tablespace, role, mode);
#endif
}

inline AclResult check_database(Oid database, Oid role, AclMode mode) {
#if PG_VERSION_NUM >= 160000
    return object_aclcheck(DatabaseRelationId, database, role, mode);
#else
    return pg_database_aclcheck(database, role, mode);
#endif
}

inline AclResult check_foreign_server(Oid server, Oid role, AclMode mode) {
#if PG_VERSION_NUM >= 160000
    return object_aclcheck(ForeignServerRelationId, server, role, mode);
#else
    return pg_foreign_server_aclcheck(server, role, mode);
#endif
}

// Whether a role may give objects to another.
inline bool may_set_role(Oid role, Oid other) {
#if PG_VERSION_NUM >= 160000
    return member_can_set_role(role, other);
#else
    return is_member_of_role(role, other);
#endif
}

// Whether the role may do what REINDEX asks for: the table is its own or, from version 17 on, it
// has the privilege MAINTAIN.
inline AclResult check_maintenance(Oid relid, Oid role) {
#if PG_VERSION_NUM >= 170000
    return pg_class_aclcheck(relid, role, ACL_MAINTAIN);
#elif PG_VERSION_NUM >= 160000
    return object_ownercheck(RelationRelationId, relid, role) ? ACLCHECK_OK : ACLCHECK_NOT_OWNER;
#else
    return pg_class_ownercheck(relid, role) ? ACLCHECK_OK : ACLCHECK_NOT_OWNER;
#endif
}

}  // namespace fastcopy::pg

#endif
