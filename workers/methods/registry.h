// All methods that this build can run, by catalog id.
#pragma once

#include <vector>

#include "workers/methods/method.h"

namespace swage {

const std::vector<const Method*>& MethodImplementations();
const Method* FindMethodImplementation(std::string_view id);  // nullptr when there is none

}  // namespace swage
