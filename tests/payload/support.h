// What the tests of the payload room share.
#pragma once

#include <cstdlib>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <initializer_list>
#include <iterator>
#include <string>
#include <string_view>

#include "engine/payload/decode.h"

namespace kiln::payload::test {

// A file by its path from the root of the sources.
inline std::string source_file(const std::string& path) {
  const char* source = std::getenv("KILN_SOURCE_DIR");
  std::ifstream file(std::string(source != nullptr ? source : ".") + "/" + path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// `body` under `type` is refused with the status, in one line that holds all of the parts.
inline void expect_refused(std::string_view body, std::string_view type, const PictureShape& shape,
                           int status, std::initializer_list<const char*> parts,
                           const DecodeLimits& limits = {}) {
  try {
    decode_pictures(body, type, shape, limits);
    ADD_FAILURE() << type << ": was taken";
  } catch (const Refusal& refusal) {
    EXPECT_EQ(refusal.status(), status) << refusal.what();
    for (const char* part : parts) EXPECT_THAT(refusal.what(), testing::HasSubstr(part));
    EXPECT_THAT(refusal.what(), testing::Not(testing::HasSubstr("\n")));
  }
}

}  // namespace kiln::payload::test
