// The arguments that fastcopy.clone and fastcopy.check have in common.
#ifndef FASTCOPY_API_CLONE_HPP
#define FASTCOPY_API_CLONE_HPP

#include "job/request.hpp"

namespace fastcopy::api {

// Reads the arguments, all of them; an ERROR if one is invalid.
job::Request read_clone_arguments(FunctionCallInfo fcinfo);

}  // namespace fastcopy::api

#endif
