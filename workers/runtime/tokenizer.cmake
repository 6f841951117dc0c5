# The tokenizer, a library of its own: recipes of tests and tools use it without the runtime.
swage_library(swage_tokenizer
  SRCS tokenizer.cc tokenizer_added.cc tokenizer_bpe.cc tokenizer_categories.cc tokenizer_charsmap.cc tokenizer_decode.cc
       tokenizer_gguf.cc tokenizer_json.cc tokenizer_json_model.cc tokenizer_json_steps.cc tokenizer_normalize.cc tokenizer_regex.cc
       tokenizer_split.cc tokenizer_unicode.cc tokenizer_unicode_tables.cc tokenizer_unigram.cc
  DEPS swage_modelfile swage_base absl::flat_hash_map
  PRIVATE_DEPS nlohmann_json::nlohmann_json PkgConfig::PCRE2)
