#include "models/zip_archive.h"

#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "engine/core/error.h"
#include "models/zip_writer.h"
#include "tests/support/temp_folder.h"

namespace kiln {
namespace {

using testing::HasSubstr;

template <class T>
void append(std::string& text, T value) {
  text.append(reinterpret_cast<const char*>(&value), sizeof value);
}

using U16 = std::uint16_t;
using U32 = std::uint32_t;
using U64 = std::uint64_t;

// An archive of one entry "a" with the content "abc", whose fields a test may falsify.
struct Crafted {
  U16 flags = 0, method = 0, count = 1;
  U32 size = 3, stored = 3, place = 0, crc = 0x352441c2;
  std::string local_name = "a", name = "a", extra, gap;
  bool zip64 = false;  // a zip64 end record, and 0xFFFF.. in the old one
  U64 directory_place64 = 34;

  std::string text() const {
    std::string out;
    append(out, U32{0x04034b50});
    out.append(22, '\0');
    append(out, static_cast<U16>(local_name.size()));
    append(out, U16{0});
    out += local_name + "abc";
    const std::size_t begin = out.size();
    append(out, U32{0x02014b50});
    append(out, U32{0});
    append(out, flags);
    append(out, method);
    append(out, U32{0});
    append(out, crc);
    append(out, stored);
    append(out, size);
    append(out, static_cast<U16>(name.size()));
    append(out, static_cast<U16>(extra.size()));
    out.append(10, '\0');
    append(out, place);
    out += name + extra;
    const std::size_t bytes = out.size() - begin;
    if (zip64) end64(out, bytes);
    append(out, U32{0x06054b50});
    append(out, U32{0});
    append(out, zip64 ? U16{0xFFFF} : count);
    append(out, zip64 ? U16{0xFFFF} : count);
    append(out, zip64 ? U32{0xFFFFFFFF} : static_cast<U32>(bytes));
    append(out, zip64 ? U32{0xFFFFFFFF} : static_cast<U32>(begin));
    append(out, U16{0});
    return out;
  }

  void end64(std::string& out, std::size_t bytes) const {
    const U64 place64 = out.size();
    append(out, U32{0x06064b50});
    append(out, U64{44});
    out.append(12, '\0');
    append(out, U64{count});
    append(out, U64{count});
    append(out, U64{bytes});
    append(out, directory_place64);
    append(out, U32{0x07064b50});
    append(out, U32{0});
    append(out, place64);
    append(out, U32{1});
  }
};

std::string content_of(const std::string& file, std::string_view name) {
  const ZipArchive archive(std::as_bytes(std::span(file)), "file.zip");
  const ZipEntry* entry = archive.find(name);
  if (entry == nullptr) return "(none)";
  const auto bytes = archive.checked(*entry);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string fault_of(const Crafted& crafted) {
  try {
    return content_of(crafted.text(), crafted.name);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_THAT(error.what(), HasSubstr("file.zip"));
    return error.what();
  }
}

std::string field64(std::initializer_list<U64> numbers) {
  std::string extra;
  append(extra, U16{1});
  append(extra, static_cast<U16>(8 * numbers.size()));
  for (const U64 number : numbers) append(extra, number);
  return extra;
}

TEST(ZipArchive, ReadsStoredEntries) {
  EXPECT_EQ(content_of(Crafted{}.text(), "a"), "abc");
  EXPECT_EQ(content_of(Crafted{}.text(), "b"), "(none)");
}

TEST(ZipArchive, ReadsZip64Records) {
  EXPECT_EQ(content_of(Crafted{.zip64 = true}.text(), "a"), "abc");
  const Crafted wide{.size = 0xFFFFFFFF,
                     .stored = 0xFFFFFFFF,
                     .place = 0xFFFFFFFF,
                     .extra = field64({3, 3, 0}),
                     .zip64 = true};
  EXPECT_EQ(content_of(wide.text(), "a"), "abc");
  EXPECT_THAT(fault_of({.size = 0xFFFFFFFF, .stored = 0xFFFFFFFF, .extra = field64({3})}),
              HasSubstr("too short"));
  EXPECT_THAT(fault_of({.place = 0xFFFFFFFF, .extra = field64({U64{1} << 63})}),
              HasSubstr("no header where the directory says"));
  EXPECT_THAT(fault_of({.zip64 = true, .directory_place64 = U64{1} << 40}),
              HasSubstr("does not lie in the file"));
}

TEST(ZipArchive, RefusesWhatLies) {
  EXPECT_THAT(fault_of({.crc = 1}), HasSubstr("checksum"));
  EXPECT_THAT(fault_of({.flags = 1}), HasSubstr("is encrypted"));
  EXPECT_THAT(fault_of({.method = 8}), HasSubstr("is compressed"));
  EXPECT_THAT(fault_of({.stored = 2}), HasSubstr("has two sizes"));
  EXPECT_THAT(fault_of({.size = 4, .stored = 4}), HasSubstr("larger than the file"));
  EXPECT_THAT(fault_of({.place = 1}), HasSubstr("no header where the directory says"));
  EXPECT_THAT(fault_of({.local_name = "b"}), HasSubstr("another name in its own header"));
  EXPECT_THAT(fault_of({.count = 2}), HasSubstr("announces 2 entries"));
  EXPECT_THAT(fault_of({.local_name = "", .name = ""}), HasSubstr("without a proper name"));
}

class ZipFilesTest : public TempFolderTest {};

TEST_F(ZipFilesTest, ReadsWhatItWrites) {
  const std::string one = "one", empty, large(100'000, 'x');
  ZipWriter writer;
  for (const auto& [name, text] : {std::pair("b/one", &one), {"a", &empty}, {"c", &large}})
    writer.add(name, std::as_bytes(std::span(*text)));
  writer.write(folder() / "x.zip");
  const std::string file = read_text_file(folder() / "x.zip", 1 << 20);
  for (const auto& [name, text] : {std::pair("b/one", &one), {"a", &empty}, {"c", &large}})
    EXPECT_EQ(content_of(file, name), *text);
  const ZipArchive archive(std::as_bytes(std::span(file)), "x.zip");
  for (const ZipEntry& entry : archive.entries())
    EXPECT_EQ((entry.bytes.data() - std::as_bytes(std::span(file)).data()) % 64, 0) << entry.name;
}

TEST_F(ZipFilesTest, RefusesTwins) {
  const std::string text = "x";
  ZipWriter writer;
  writer.add("a", std::as_bytes(std::span(text)));
  writer.add("a", std::as_bytes(std::span(text)));
  writer.write(folder() / "x.zip");
  try {
    content_of(read_text_file(folder() / "x.zip", 1 << 20), "a");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("\"a\" twice"));
  }
}

}  // namespace
}  // namespace kiln
