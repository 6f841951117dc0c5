#include "kernels/cpu/gemm.h"

#include <algorithm>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "base/text.h"
#include "kernels/api/device.h"
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
  bool bias, accumulate, packed;
  GemmLayout layout;
  auto Key() const { return std::tie(m, n, k, a, b, c, bias, accumulate, packed, layout); }
  bool operator<(const Shape& other) const { return Key() < other.Key(); }
};

struct Prepared {
  dnnl::memory::desc b;
  dnnl::matmul primitive;
  std::unordered_map<int, dnnl::memory> memory;  // by argument; where it lies is set for each call
};

struct PackedOperand : PackedMatrix {
  dnnl::memory::desc desc;
  DeviceBuffer bytes;
};

Type TypeOf(DType type) { return type == DType::kBF16 ? Type::bf16 : Type::f32; }

dnnl::memory::desc DescOfB(const Shape& shape) {
  const bool across = shape.layout == GemmLayout::kNT;
  return dnnl::memory::desc({shape.k, shape.n}, TypeOf(shape.b), across ? Tag::ba : Tag::ab);
}

// b: where the second operand lies, or of format `any`.
dnnl::matmul::primitive_desc Describe(const dnnl::engine& engine, const Shape& shape,
                                      const dnnl::memory::desc& b) {
  const bool a_down = shape.layout == GemmLayout::kTN;
  const dnnl::memory::desc a({shape.m, shape.k}, TypeOf(shape.a), a_down ? Tag::ba : Tag::ab);
  const dnnl::memory::desc c({shape.m, shape.n}, TypeOf(shape.c), Tag::ab);
  dnnl::primitive_attr attributes;
  if (shape.accumulate) {
    dnnl::post_ops after;
    after.append_sum(1.0f);
    attributes.set_post_ops(after);
  }
  using Description = dnnl::matmul::primitive_desc;
  if (!shape.bias) return Description(dnnl::matmul::desc(a, b, c), attributes, engine);
  const dnnl::memory::desc bias({1, shape.n}, Type::f32, Tag::ab);
  return Description(dnnl::matmul::desc(a, b, bias, c), attributes, engine);
}

Prepared Prepare(const dnnl::engine& engine, const Shape& shape, const dnnl::memory::desc& b) {
  const dnnl::matmul::primitive_desc described = Describe(engine, shape, b);
  Prepared made;
  made.b = b;
  made.primitive = dnnl::matmul(described);
  const auto add = [&](int argument, const dnnl::memory::desc& desc) {
    made.memory.emplace(argument, dnnl::memory(desc, engine, DNNL_MEMORY_NONE));
  };
  add(DNNL_ARG_SRC, described.src_desc());
  add(DNNL_ARG_WEIGHTS, b);
  add(DNNL_ARG_DST, described.dst_desc());
  if (shape.bias) add(DNNL_ARG_BIAS, described.bias_desc());
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

  std::optional<Prepared>& Get(const Shape& shape, const PackedOperand* packed);
  bool Execute(const GemmArgs& args);  // false: no such primitive; throws dnnl::error
};

namespace {

Shape ShapeOf(const GemmArgs& args) {
  return {args.m,      args.n,      args.k,
          args.a_type, args.b_type, args.c_type,
          args.bias != nullptr, args.accumulate, args.packed_b != nullptr, args.layout};
}

}  // namespace

std::optional<Prepared>& Gemm::State::Get(const Shape& shape, const PackedOperand* packed) {
  const dnnl::memory::desc b = packed == nullptr ? DescOfB(shape) : packed->desc;
  const auto found = prepared.find(shape);
  if (found != prepared.end()) {
    // Packed for another number of rows, the same operand may lie in another way.
    if (packed == nullptr || (found->second && found->second->b == b)) return found->second;
    prepared.erase(found);
  }
  if (prepared.size() >= kMaxPrimitives) prepared.clear();
  std::optional<Prepared> made;
  try {
    made = Prepare(engine, shape, b);
  } catch (const dnnl::error& error) {
    if (error.status != dnnl_unimplemented) throw;
  }
  return prepared.emplace(shape, std::move(made)).first->second;
}

bool Gemm::State::Execute(const GemmArgs& args) {
  const auto* packed = static_cast<const PackedOperand*>(args.packed_b);
  std::optional<Prepared>& made = Get(ShapeOf(args), packed);
  if (!made) return false;
  // oneDNN takes mutable pointers also for what it only reads.
  const auto set = [&](int argument, const void* data) {
    made->memory.at(argument).set_data_handle(const_cast<void*>(data));
  };
  set(DNNL_ARG_SRC, args.a);
  set(DNNL_ARG_WEIGHTS, packed == nullptr ? args.b : packed->bytes.data());
  set(DNNL_ARG_DST, args.c);
  if (args.bias != nullptr) set(DNNL_ARG_BIAS, args.bias);
  made->primitive.execute(stream, made->memory);
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

StatusOr<std::unique_ptr<PackedMatrix>> Gemm::PackB(const GemmArgs& args) {
  std::unique_ptr<PackedMatrix> none;
  const bool native = args.a_type == args.b_type && (args.a_type == DType::kF32 || RunsBf16());
  if (!native || args.m == 0 || args.n == 0 || args.k == 0) return none;
  try {
    Shape shape = ShapeOf(args);
    const dnnl::memory::desc plain = DescOfB(shape);
    const dnnl::memory::desc any({shape.k, shape.n}, TypeOf(shape.b), Tag::any);
    auto packed = std::make_unique<PackedOperand>();
    packed->desc = Describe(state_->engine, shape, any).weights_desc();
    if (packed->desc == plain) return none;
    SWAGE_ASSIGN_OR_RETURN(packed->bytes,
                           DeviceBuffer::Make(&HostMemory(), packed->desc.get_size()));
    dnnl::memory from(plain, state_->engine, const_cast<void*>(args.b));
    dnnl::memory to(packed->desc, state_->engine, packed->bytes.data());
    dnnl::reorder(from, to).execute(state_->stream, from, to);
    state_->stream.wait();
    return std::unique_ptr<PackedMatrix>(std::move(packed));
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_unimplemented) return none;
    return Internal(Cat("oneDNN reorder ", args.n, " x ", args.k, ": ", error.what()));
  }
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
