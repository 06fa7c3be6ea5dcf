// What a file held when it was written: of a model's files size and SHA-256, as sha256sum prints
// it, beside them; of a checkpoint, which a run writes over and over, a CRC-32 within it: a twelfth
// of the time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/file.h"
#include "models/safetensors.h"

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

// The CRC-32 of all that a safetensors file says, as eight digits 0-9 and a-f: keys and texts of
// the metadata but for kChecksumKey, names, types, shapes and bytes of the tensors, whatever their
// order.
inline constexpr std::string_view kChecksumKey = "crc32";
std::string checksum_of(std::span<const SafetensorsEntry> entries,
                        const SafetensorsMetadata& metadata);

// Whether `text` is the digest of something.
bool is_sha256(std::string_view text);

}  // namespace kiln
