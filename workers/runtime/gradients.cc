#include "workers/runtime/gradients.h"

#include <algorithm>

namespace swage {

float* Gradients::Slot(const GradientRequest& request, const std::string& name, int64_t rows,
                       int64_t columns) {
  if (request.wanted && !request.wanted(name)) return nullptr;
  return Always(name, rows, columns);
}

float* Gradients::Always(const std::string& name, int64_t rows, int64_t columns) {
  auto [it, is_new] = tensors_.try_emplace(name);
  GradientTensor& tensor = it->second;
  if (is_new) {
    tensor.rows = rows;
    tensor.columns = columns;
    tensor.values.Resize(rows * columns);
    std::fill(tensor.values.data(), tensor.values.data() + rows * columns, 0.0f);
  }
  SWAGE_CHECK(tensor.rows == rows && tensor.columns == columns, name, " has two shapes");
  return tensor.values.data();
}

}  // namespace swage
