#include <set>
#include <utility>

#include "base/limits.h"
#include "base/modelfile/json.h"
#include "base/modelfile/safetensors.h"
#include "base/modelfile/tensor_size.h"
#include "base/text.h"

namespace swage {
namespace {

void AppendU64LittleEndian(uint64_t value, std::string* out) {
  for (int shift = 0; shift < 64; shift += 8) out->push_back(static_cast<char>(value >> shift & 0xff));
}

std::string MetadataJson(const std::map<std::string, std::string>& metadata) {
  std::string json = "\"__metadata__\":{";
  for (const auto& [key, value] : metadata) {
    if (json.back() != '{') json += ',';
    AppendJsonString(key, &json);
    json += ':';
    AppendJsonString(value, &json);
  }
  return json + '}';
}

void AppendEntry(const SafetensorsWriter::Declared& tensor, uint64_t begin, uint64_t end, std::string* json) {
  AppendJsonString(tensor.name, json);
  *json += Cat(":{\"dtype\":\"", DTypeName(tensor.dtype), "\",\"shape\":[");
  for (size_t i = 0; i < tensor.shape.size(); ++i) *json += Cat(i > 0 ? "," : "", tensor.shape[i]);
  *json += Cat("],\"data_offsets\":[", begin, ",", end, "]}");
}

}  // namespace

struct SafetensorsWriter::State {
  Env* env = nullptr;
  std::string path, temporary;
  std::unique_ptr<WritableFile> file;  // null once finished
  std::vector<std::pair<std::string, uint64_t>> expected;  // name, bytes
  size_t next = 0;
  uint64_t written = 0;  // of the next one
};

StatusOr<SafetensorsWriter> SafetensorsWriter::Create(Env* env, const std::string& path,
                                                      const std::vector<Declared>& tensors,
                                                      const std::map<std::string, std::string>& metadata) {
  auto state = std::make_unique<State>();
  state->env = env;
  state->path = path;
  state->temporary = path + ".tmp";
  std::string json = "{";
  if (!metadata.empty()) json += MetadataJson(metadata);
  std::set<std::string_view> names;
  uint64_t offset = 0;
  for (const Declared& tensor : tensors) {
    const auto bytes = TensorBytes(tensor.dtype, tensor.shape);
    if (!bytes || tensor.shape.size() > limits::kTensorRank || *bytes > (uint64_t{1} << 62) - offset) {
      return InvalidInput("BAD_SHAPE", Cat("tensor '", tensor.name, "' cannot be written with this shape"));
    }
    if (!IsUtf8(tensor.name)) return InvalidInput("BAD_TENSOR_NAME", "a tensor's name is not UTF-8", "rename it");
    if (!names.insert(tensor.name).second) {
      return InvalidInput("DUPLICATE_TENSOR", Cat("tensor '", tensor.name, "' is declared twice"));
    }
    if (json.size() > 1) json += ',';
    AppendEntry(tensor, offset, offset + *bytes, &json);
    offset += *bytes;
    state->expected.emplace_back(tensor.name, *bytes);
  }
  json += '}';
  json.append((8 - json.size() % 8) % 8, ' ');  // the data then starts aligned to 8 bytes
  std::string start;
  AppendU64LittleEndian(json.size(), &start);
  start += json;
  // What this writer writes, the reader accepts: names, counts and sizes are checked by the one parser.
  SWAGE_RETURN_IF_ERROR(ParseSafetensorsHeader(start, start.size() + offset));
  SWAGE_ASSIGN_OR_RETURN(state->file, env->NewWritableFile(state->temporary));
  SafetensorsWriter writer(std::move(state));
  SWAGE_RETURN_IF_ERROR(writer.state_->file->Append(start));
  return writer;
}

SafetensorsWriter::SafetensorsWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
SafetensorsWriter::SafetensorsWriter(SafetensorsWriter&&) noexcept = default;

SafetensorsWriter::~SafetensorsWriter() {
  if (state_ == nullptr || state_->file == nullptr) return;
  state_->file.reset();
  state_->env->Remove(state_->temporary).IgnoreError();  // an unfinished file is of no use to anybody
}

Status SafetensorsWriter::Append(std::string_view tensor_bytes) {
  SWAGE_CHECK(state_->file != nullptr, "Append after Finish");
  if (state_->next >= state_->expected.size()) return Internal("more tensors appended than declared");
  const auto& [name, bytes] = state_->expected[state_->next];
  if (tensor_bytes.size() != bytes || state_->written > 0) {
    return Internal(Cat("tensor '", name, "' was declared with ", bytes, " bytes and came with ", tensor_bytes.size()));
  }
  return AppendPiece(tensor_bytes);
}

Status SafetensorsWriter::AppendPiece(std::string_view bytes) {
  SWAGE_CHECK(state_->file != nullptr, "AppendPiece after Finish");
  if (state_->next >= state_->expected.size()) return Internal("more tensors appended than declared");
  const auto& [name, size] = state_->expected[state_->next];
  if (bytes.size() > size - state_->written) {
    return Internal(Cat("tensor '", name, "' was declared with ", size, " bytes and comes with more"));
  }
  state_->written += bytes.size();
  if (state_->written == size) {
    ++state_->next;
    state_->written = 0;
  }
  return state_->file->Append(bytes);
}

Status SafetensorsWriter::Finish() {
  SWAGE_CHECK(state_->file != nullptr, "Finish twice");
  if (state_->next != state_->expected.size()) {
    return Internal(Cat("tensor '", state_->expected[state_->next].first, "' was declared but not appended"));
  }
  SWAGE_RETURN_IF_ERROR(state_->file->Sync());
  SWAGE_RETURN_IF_ERROR(state_->file->Close());
  SWAGE_RETURN_IF_ERROR(state_->env->Rename(state_->temporary, state_->path));
  state_->file.reset();
  return state_->env->SyncDir(DirName(state_->path));
}

}  // namespace swage
