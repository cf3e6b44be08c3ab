#include "sink/as_written.hpp"

namespace fastcopy::sink {

namespace {

Datum call_as_written(PG_FUNCTION_ARGS) {
    FmgrInfo *wrapper = fcinfo->flinfo;
    auto *inner = static_cast<FmgrInfo *>(wrapper->fn_extra);
    bool array_nulls = Array_nulls;
    int xml_option = xmloption;
    Datum value = 0;
    PG_TRY();
    {
        Array_nulls = true;
        xmloption = XMLOPTION_CONTENT;
        fcinfo->flinfo = inner;
        value = FunctionCallInvoke(fcinfo);
    }
    PG_FINALLY();
    {
        fcinfo->flinfo = wrapper;
        Array_nulls = array_nulls;
        xmloption = xml_option;
    }
    PG_END_TRY();
    return value;
}

// Whether values of the type may contain XML or arrays.
bool depends_on_settings(Oid type) {
    type = getBaseType(type);
    char kind = get_typtype(type);
    return type == XMLOID || kind == TYPTYPE_COMPOSITE || kind == TYPTYPE_RANGE ||
           kind == TYPTYPE_MULTIRANGE || type_is_array(type);
}

}  // namespace

void read_as_written(FmgrInfo *function, Oid type) {
    if ((Array_nulls && xmloption == XMLOPTION_CONTENT) || !depends_on_settings(type))
        return;
    auto *inner = static_cast<FmgrInfo *>(palloc(sizeof(FmgrInfo)));
    fmgr_info_copy(inner, function, CurrentMemoryContext);
    function->fn_addr = call_as_written;
    function->fn_extra = inner;
}

}  // namespace fastcopy::sink
