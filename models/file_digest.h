// What a file held when a model was written: its size and its SHA-256, as sha256sum prints it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/file.h"

namespace kiln {

struct FileDigest {
  std::string name;  // of a file beside model.json
  std::uint64_t bytes = 0;
  std::string sha256;  // 64 digits, 0-9 and a-f
  bool operator==(const FileDigest&) const = default;
};

// Of the file `name` in `directory`. Throws Error (io).
FileDigest digest_file(const Path& directory, const std::string& name);

// Throws Error (input) naming a file that is not what it was, or that is not there.
void verify_files(const Path& directory, const std::vector<FileDigest>& files);

// Whether `text` is the digest of something.
bool is_sha256(std::string_view text);

}  // namespace kiln
