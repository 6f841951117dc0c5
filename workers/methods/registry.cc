#include "workers/methods/registry.h"

#include "workers/methods/quantize/gptq.h"
#include "workers/methods/quantize/rtn.h"

namespace swage {

const std::vector<const Method*>& MethodImplementations() {
  static const auto* methods = new std::vector<const Method*>{RtnMethod(), GptqMethod()};
  return *methods;
}

const Method* FindMethodImplementation(std::string_view id) {
  for (const Method* method : MethodImplementations()) {
    if (method->id() == id) return method;
  }
  return nullptr;
}

}  // namespace swage
