swage_fuzzer(recipe_fuzz SRCS recipe_fuzz.cc DEPS swage_recipe CORPUS tests/fuzz/corpus/recipe)
swage_fuzzer(tokenizer_json_fuzz SRCS tokenizer_json_fuzz.cc DEPS swage_tokenizer CORPUS tests/fuzz/corpus/tokenizer_json)
swage_fuzzer(tokenizer_text_fuzz SRCS tokenizer_text_fuzz.cc DEPS swage_tokenizer CORPUS tests/fuzz/corpus/tokenizer_text)
swage_fuzzer(gguf_fuzz SRCS gguf_fuzz.cc DEPS swage_runtime CORPUS tests/fuzz/corpus/gguf)
