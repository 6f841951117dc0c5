// The manifest of an artifact: an immutable folder of files. Its canonical JSON (docs/formats/manifest.md) is what is
// hashed; the SHA-256 of those bytes is the artifact's id. Safetensors files are split into their tensors so that equal
// tensors are stored once; the header is kept verbatim as a blob of its own, so that a download is byte-identical.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/env.h"
#include "base/status.h"

namespace swage {

// A contiguous piece of a file, stored as one object.
struct FilePart {
  uint64_t offset = 0;  // in the file
  uint64_t size = 0;
  Digest object;        // SHA-256 of the piece
  std::string tensor;   // name, "" for a blob or header
  std::string dtype;    // safetensors name, "" for a blob or header
  std::vector<int64_t> shape;
};

struct ManifestFile {
  std::string path;  // relative, '/'-separated, checked by SafeJoin's rules
  uint64_t size = 0;
  Digest sha256;     // of the whole file
  std::vector<FilePart> parts;  // in order, without gap or overlap, covering the file; empty for an empty file
};

struct Manifest {
  std::string kind = "model";  // model | report | stats | files | inputs | checkpoint
  std::vector<ManifestFile> files;  // ordered by path, unique
  uint64_t total_bytes() const;
  const ManifestFile* Find(std::string_view path) const;
  std::string ToJson() const;   // canonical
  Digest Id() const;            // Sha256Of(ToJson())
};

// Hostile input: every count and length bounded; parts checked to cover the files exactly; the text must be in canonical
// form, so that ParseManifest(t)->ToJson() == t. Errors: MANIFEST_NOT_JSON, MANIFEST_VERSION, MANIFEST_MALFORMED,
// MANIFEST_NOT_CANONICAL, PATH_ESCAPES.
StatusOr<Manifest> ParseManifest(std::string_view json);

// Reads a folder (recursively; symbolic links are refused, files ending in ".tmp" too) and hashes everything once.
// A *.safetensors file must parse. `progress(bytes_done)` is for display, called from this thread; may be null.
// Errors: SYMLINK_REFUSED, UNFINISHED_FILE, NOT_A_FILE, EMPTY_FOLDER, TOO_MANY_FILES, PATH_ESCAPES (a name that
// CheckRelativePath refuses or that is not UTF-8), FILE_TRUNCATED (it shrank meanwhile), those of safetensors.
StatusOr<Manifest> BuildManifest(Env* env, const std::string& dir, const std::string& kind,
                                 const std::function<void(uint64_t)>& progress);

// The pieces into which one file of an artifact is split, without their digests: one for a blob; header and tensors for
// a *.safetensors file. Used by BuildManifest and by whoever sends the pieces.
StatusOr<std::vector<FilePart>> SplitFile(const std::string& path, const ReadableFile& file);

}  // namespace swage
