#include "workers/runtime/reducer.h"

#include <cstring>

#ifdef SWAGE_GLOO
#include "workers/runtime/reducer_gloo.h"
#endif

namespace swage {
namespace {

constexpr int64_t kGatheredTextBytes = int64_t{1} << 30;

// Length and bytes.
void PutText(const std::string& text, std::string* out) {
  const uint32_t size = static_cast<uint32_t>(text.size());
  out->append(reinterpret_cast<const char*>(&size), sizeof(size));
  out->append(text);
}

bool TakeText(std::string_view* in, std::string* text) {
  uint32_t size = 0;
  if (in->size() < sizeof(size)) return false;
  std::memcpy(&size, in->data(), sizeof(size));
  in->remove_prefix(sizeof(size));
  if (in->size() < size) return false;
  text->assign(in->substr(0, size));
  in->remove_prefix(size);
  return true;
}

Status Mismatch(std::string_view what) {
  return Error(StatusCode::kAborted, "RENDEZVOUS_MISMATCH", what,
               "nothing needs to be done: the job is tried again with a new gang");
}


}  // namespace

Status SelfReducer::AllGatherV(const void* mine, const std::vector<int64_t>& bytes, void* all) {
  SWAGE_CHECK(bytes.size() == 1, "a gather of ", bytes.size(), " among one");
  if (bytes[0] > 0) std::memcpy(all, mine, static_cast<size_t>(bytes[0]));
  return absl::OkStatus();
}

StatusOr<std::vector<std::string>> GatherTexts(Reducer* reducer, const std::string& mine) {
  const size_t world = static_cast<size_t>(reducer->world());
  const int64_t size = static_cast<int64_t>(mine.size());
  std::vector<int64_t> sizes(world);
  SWAGE_RETURN_IF_ERROR(reducer->AllGatherV(&size, std::vector<int64_t>(world, sizeof(size)), sizes.data()));
  int64_t total = 0;
  for (const int64_t one : sizes) {
    if (one < 0 || one > kGatheredTextBytes || total > kGatheredTextBytes)
      return Error(StatusCode::kInternal, "BAD_GATHER", Cat("a member wants to send ", one, " bytes"));
    total += one;
  }
  std::string all(static_cast<size_t>(total), '\0');
  SWAGE_RETURN_IF_ERROR(reducer->AllGatherV(mine.data(), sizes, all.data()));
  std::vector<std::string> texts;
  size_t at = 0;
  for (const int64_t one : sizes) {
    texts.push_back(all.substr(at, static_cast<size_t>(one)));
    at += static_cast<size_t>(one);
  }
  return texts;
}

std::string Encode(const Introduction& introduction) {
  std::string out;
  for (const std::string* text :
       {&introduction.kind, &introduction.session, &introduction.secret, &introduction.address}) {
    PutText(*text, &out);
  }
  return out;
}

StatusOr<std::vector<Introduction>> DecodeAll(const std::vector<std::string>& said, int world, std::string_view kind,
                                              const std::string& session) {
  if (said.size() != static_cast<size_t>(world)) return Mismatch(Cat(said.size(), " members of a gang of ", world));
  std::vector<Introduction> all;
  for (const std::string& text : said) {
    Introduction& one = all.emplace_back();
    std::string_view rest = text;
    if (!TakeText(&rest, &one.kind) || !TakeText(&rest, &one.session) || !TakeText(&rest, &one.secret) ||
        !TakeText(&rest, &one.address) || !rest.empty()) {
      return Mismatch("a member said something that cannot be read");
    }
    if (one.kind != kind) return Mismatch(Cat("a member uses ", one.kind, " where this one uses ", kind));
    if (one.session != session) return Mismatch("a member is of another attempt");
  }
  return all;
}

StatusOr<std::unique_ptr<Reducer>> ConnectReducer(const ReducerOptions& options, const Meet& meet) {
  if (options.world == 1) return std::make_unique<SelfReducer>();
#ifdef SWAGE_GLOO
  return ConnectGloo(options, meet);
#else
  return Error(StatusCode::kUnimplemented, "COLLECTIVES_MISSING", "this program was built without Gloo",
               "install libgloo-dev and build again, or ask for a gang of 1");
#endif
}

std::vector<std::string> CollectiveFeatures() {
#ifdef SWAGE_GLOO
  return {"gloo"};
#else
  return {};
#endif
}

}  // namespace swage
