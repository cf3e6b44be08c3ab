// fastcopy.check: says what would go wrong with a job of fastcopy.clone. See run/check.hpp.
#include "run/check.hpp"

#include "api/clone.hpp"
#include "api/sql_objects.hpp"
#include "pg/set_result.hpp"

namespace fastcopy::api {

namespace {

const char *name_of(run::Severity severity) {
    switch (severity) {
        case run::Severity::error:
            return "error";
        case run::Severity::warning:
            return "warning";
        case run::Severity::info:
            return "info";
    }
    return "unknown";
}

void put_row(ReturnSetInfo *result, const run::Finding &finding) {
    Datum values[] = {
        CStringGetTextDatum(name_of(finding.severity)),
        CStringGetTextDatum(finding.object),
        CStringGetTextDatum(finding.finding),
        finding.hint != nullptr ? CStringGetTextDatum(finding.hint) : Datum{0},
    };
    bool nulls[lengthof(values)] = {false, false, false, finding.hint == nullptr};
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

}  // namespace

}  // namespace fastcopy::api

using namespace fastcopy;

extern "C" {

PG_FUNCTION_INFO_V1(fastcopy_check);

// fastcopy.check(the arguments of fastcopy.clone) → a row per finding
PGDLLEXPORT Datum fastcopy_check(PG_FUNCTION_ARGS) {
    api::check_sql_objects();
    ReturnSetInfo *result = pg::begin_set(fcinfo);
    run::Findings findings = run::check_clone(api::read_clone_arguments(fcinfo));
    for (int i = 0; i < findings.count; i++)
        api::put_row(result, findings.findings[i]);
    return Datum{0};
}
}
