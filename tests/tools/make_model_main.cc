// swage-make-model OUT [--hidden N] [--ffn N] [--layers N] [--heads N] [--kv-heads N] [--vocab N] [--seed N] [--tokenizer DIR]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "tests/tools/make_model.h"

int main(int argc, char** argv) {
  swage::MakeModelOptions options;
  const std::map<std::string, int64_t*> numbers = {
      {"--hidden", &options.hidden}, {"--ffn", &options.ffn},           {"--layers", &options.layers},
      {"--heads", &options.heads},   {"--kv-heads", &options.kv_heads}, {"--vocab", &options.vocab}};
  if (argc < 2 || argc % 2 != 0) {
    std::fprintf(stderr, "usage: swage-make-model OUT [--hidden N] [--ffn N] [--layers N] [--heads N] [--kv-heads N] "
                         "[--vocab N] [--seed N] [--tokenizer DIR]\n");
    return 2;
  }
  for (int i = 2; i + 1 < argc; i += 2) {
    const auto it = numbers.find(argv[i]);
    if (it != numbers.end()) {
      *it->second = std::atoll(argv[i + 1]);
    } else if (std::strcmp(argv[i], "--seed") == 0) {
      options.seed = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (std::strcmp(argv[i], "--tokenizer") == 0) {
      options.tokenizer_dir = argv[i + 1];
    } else {
      std::fprintf(stderr, "unknown option %s\n", argv[i]);
      return 2;
    }
  }
  const swage::Status status = swage::MakeModel(argv[1], options);
  if (!status.ok()) std::fprintf(stderr, "error: %s\n", swage::MessageOf(status).c_str());
  return status.ok() ? 0 : 1;
}
