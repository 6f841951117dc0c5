swage_fuzzer(store_object_fuzz SRCS store_object_fuzz.cc DEPS swage_store_core CORPUS tests/fuzz/corpus/store_object)
swage_fuzzer(store_frame_fuzz SRCS store_frame_fuzz.cc DEPS swage_codecs CORPUS tests/fuzz/corpus/store_frame)
swage_fuzzer(store_record_fuzz SRCS store_record_fuzz.cc DEPS swage_store_core CORPUS tests/fuzz/corpus/store_record)
