#include "kernels/cpu/gemm.h"

#include <algorithm>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <tuple>
#include <vector>

#include "base/text.h"
#include "kernels/cpu/simd.h"

namespace swage::cpu {
namespace {

using Tag = dnnl::memory::format_tag;
using Type = dnnl::memory::data_type;

// More shapes than a model has by far; beyond them the cache starts anew.
constexpr size_t kMaxPrimitives = 512;

struct Shape {
  int64_t m, n, k;
  DType a, b, c;
  bool bias, accumulate;
  GemmLayout layout;
  auto Key() const { return std::tie(m, n, k, a, b, c, bias, accumulate, layout); }
  bool operator<(const Shape& other) const { return Key() < other.Key(); }
};

struct Prepared {
  dnnl::memory::desc a, b, c, bias;
  dnnl::matmul primitive;
};

Type TypeOf(DType type) { return type == DType::kBF16 ? Type::bf16 : Type::f32; }

Prepared Prepare(const dnnl::engine& engine, const Shape& shape) {
  Prepared made;
  const bool a_down = shape.layout == GemmLayout::kTN, b_across = shape.layout == GemmLayout::kNT;
  made.a = {{shape.m, shape.k}, TypeOf(shape.a), a_down ? Tag::ba : Tag::ab};
  made.b = {{shape.k, shape.n}, TypeOf(shape.b), b_across ? Tag::ba : Tag::ab};
  made.c = {{shape.m, shape.n}, TypeOf(shape.c), Tag::ab};
  dnnl::primitive_attr attributes;
  if (shape.accumulate) {
    dnnl::post_ops after;
    after.append_sum(1.0f);
    attributes.set_post_ops(after);
  }
  if (shape.bias) {
    made.bias = {{1, shape.n}, Type::f32, Tag::ab};
    made.primitive = dnnl::matmul(
        dnnl::matmul::primitive_desc({made.a, made.b, made.bias, made.c}, attributes, engine));
  } else {
    made.primitive = dnnl::matmul(
        dnnl::matmul::primitive_desc({made.a, made.b, made.c}, attributes, engine));
  }
  return made;
}

const float* Widen(const void* x, DType type, int64_t n, std::vector<float>* storage) {
  if (type == DType::kF32) return static_cast<const float*>(x);
  storage->resize(n);
  Bf16ToF32(n, static_cast<const uint16_t*>(x), storage->data());
  return storage->data();
}

// Without inputs (k == 0) the product is the bias alone.
void FillWithBias(const GemmArgs& args) {
  std::vector<float> row(args.n, 0.0f);
  if (args.bias != nullptr) std::copy_n(args.bias, args.n, row.begin());
  for (int64_t i = 0; i < args.m; ++i) {
    if (args.c_type == DType::kF32) {
      std::copy(row.begin(), row.end(), static_cast<float*>(args.c) + i * args.n);
    } else {
      F32ToBf16(args.n, row.data(), static_cast<uint16_t*>(args.c) + i * args.n);
    }
  }
}

}  // namespace

struct Gemm::State {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  // Empty: oneDNN has no implementation of this shape and these types here.
  std::map<Shape, std::optional<Prepared>> prepared;
  std::vector<float> wide_a, wide_b, wide_c;

  const std::optional<Prepared>& Get(const Shape& shape);
  bool Execute(const GemmArgs& args);  // false: no such primitive; throws dnnl::error
};

const std::optional<Prepared>& Gemm::State::Get(const Shape& shape) {
  const auto found = prepared.find(shape);
  if (found != prepared.end()) return found->second;
  if (prepared.size() >= kMaxPrimitives) prepared.clear();
  std::optional<Prepared> made;
  try {
    made = Prepare(engine, shape);
  } catch (const dnnl::error& error) {
    if (error.status != dnnl_unimplemented) throw;
  }
  return prepared.emplace(shape, std::move(made)).first->second;
}

bool Gemm::State::Execute(const GemmArgs& args) {
  const Shape shape{
      args.m,      args.n,      args.k,
      args.a_type, args.b_type, args.c_type,
      args.bias != nullptr, args.accumulate, args.layout};
  const std::optional<Prepared>& made = Get(shape);
  if (!made) return false;
  // oneDNN takes mutable pointers also for what it only reads.
  std::unordered_map<int, dnnl::memory> memory = {
      {DNNL_ARG_SRC, {made->a, engine, const_cast<void*>(args.a)}},
      {DNNL_ARG_WEIGHTS, {made->b, engine, const_cast<void*>(args.b)}},
      {DNNL_ARG_DST, {made->c, engine, args.c}}};
  if (args.bias != nullptr) {
    memory.insert({DNNL_ARG_BIAS, {made->bias, engine, const_cast<float*>(args.bias)}});
  }
  made->primitive.execute(stream, memory);
  stream.wait();
  return true;
}

Gemm::Gemm() : state_(std::make_unique<State>()) {}
Gemm::~Gemm() = default;

Status Gemm::Run(const GemmArgs& args) {
  if (args.m == 0 || args.n == 0) return Status();
  if (args.k == 0) {
    if (!args.accumulate) FillWithBias(args);
    return Status();
  }
  try {
    const bool mixed =
        args.a_type != args.b_type || (args.a_type == DType::kF32 && args.c_type != DType::kF32);
    if (!mixed && state_->Execute(args)) return Status();
    GemmArgs wide = args;
    wide.a = Widen(args.a, args.a_type, args.m * args.k, &state_->wide_a);
    wide.b = Widen(args.b, args.b_type, args.n * args.k, &state_->wide_b);
    wide.a_type = wide.b_type = wide.c_type = DType::kF32;
    if (args.c_type == DType::kBF16) {
      state_->wide_c.resize(args.m * args.n);
      wide.c = state_->wide_c.data();
    }
    if (!state_->Execute(wide)) return Internal("oneDNN has no f32 matmul for this CPU");
    if (args.c_type == DType::kBF16) {
      F32ToBf16(args.m * args.n, state_->wide_c.data(), static_cast<uint16_t*>(args.c));
    }
  } catch (const dnnl::error& error) {
    return Internal(
        Cat("oneDNN matmul ", args.m, " x ", args.n, " x ", args.k, ": ", error.what()));
  } catch (const std::bad_alloc&) {
    return Error(StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                 Cat("no memory for a matrix product of ", args.m, " x ", args.n, " x ", args.k));
  }
  return Status();
}

bool Gemm::RunsBf16() {
  // Sets of bits: a better instruction set contains those of the lesser one.
  constexpr unsigned kWanted = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & kWanted) == kWanted;
}

std::string OneDnnVersion() {
  const dnnl_version_t* version = dnnl_version();
  return Cat(version->major, ".", version->minor, ".", version->patch);
}

std::string OneDnnIsa() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
      return "sse41";
    case dnnl::cpu_isa::avx:
      return "avx";
    case dnnl::cpu_isa::avx2:
      return "avx2";
    case dnnl::cpu_isa::avx2_vnni:
      return "avx2_vnni";
    case dnnl::cpu_isa::avx512_core:
      return "avx512";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "avx512_vnni";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "avx512_bf16";
    case dnnl::cpu_isa::avx512_core_amx:
      return "avx512_amx";
    default:
      return Cat("isa-", static_cast<int>(dnnl::get_effective_cpu_isa()));
  }
}

}  // namespace swage::cpu
