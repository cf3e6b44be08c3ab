#include "api/source_argument.hpp"

#include "source/conninfo.hpp"
#include "source/foreign_server.hpp"

namespace fastcopy::api {

SourceArgument resolve_source(const char *given) {
    SourceArgument source{given, given, source::Trust::own_password_only};
    if (source::is_server_name(given)) {
        source::ServerSource server = source::resolve_server(given);
        source.conninfo = server.conninfo;
        source.trust = server.trust;
    } else {
        source.safe_name = source::without_secrets(given);
        source.trust = source::trust_in(GetUserId());
    }
    source::check_source_string(source.conninfo, source.trust);
    return source;
}

}  // namespace fastcopy::api
