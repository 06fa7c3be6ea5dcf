#include "engine/payload/media_type.h"

#include <gtest/gtest.h>

namespace kiln::payload {
namespace {

// "type/subtype;name=value;..." and the quality, or "-".
std::string written(const std::optional<MediaType>& type) {
  if (!type) return "-";
  std::string text = type->name();
  for (const auto& [name, value] : type->parameters) text += ";" + name + "=" + value;
  return type->quality == 1000 ? text : text + " q" + std::to_string(type->quality);
}

TEST(MediaType, IsReadOrRefused) {
  const struct {
    const char *text, *expected;
  } table[] = {
      {"text/csv", "text/csv"},
      {" Text/CSV ", "text/csv"},
      {"application/json; charset=utf-8", "application/json;charset=utf-8"},
      {"application/json;CHARSET=UTF-8;", "application/json;charset=UTF-8"},
      {"application/json ; ; a=b", "application/json;a=b"},
      {"a/b; c=\"d;e,f\"", "a/b;c=d;e,f"},
      {R"(a/b; c="d\"e\\")", R"(a/b;c=d"e\)"},
      {"a/b; c=\"\"", "a/b;c="},
      {"application/x-npy; dtype=float32; q=0.5; ext=1", "application/x-npy;dtype=float32 q500"},
      {"a/b;q=1.000", "a/b"},
      {"a/b;Q=0", "a/b q0"},
      {"a/b;q=0.001", "a/b q1"},
      {"a/b;q=1.;flag", "a/b"},
      {"a/b;q=0.", "a/b q0"},
      {"*/*; q=.2", "*/* q200"},
      {"*/*", "*/*"},
      {"application/*;q=0.1", "application/* q100"},
      {"", "-"},
      {"text", "-"},
      {"text/", "-"},
      {"/csv", "-"},
      {"text /csv", "-"},
      {"text/ csv", "-"},
      {"text/csv charset", "-"},
      {"text/csv; charset", "-"},
      {"text/csv; charset=", "-"},
      {"text/csv; charset =utf-8", "-"},
      {"text/csv; a=\"b", "-"},
      {"text/csv; a=\"b\\", "-"},
      {"text/csv; a=\"b\"c", "-"},
      {"text/csv, text/csv", "-"},
      {"a/b;q=1.001", "-"},
      {"a/b;q=2", "-"},
      {"a/b;q=-1", "-"},
      {"a/b;q=0.0001", "-"},
      {"a/b;q=05", "-"},
      {"a/b;q=.", "-"},
      {"a/b;q=.0001", "-"},
      {"text\xC3\xA4/csv", "-"},
  };
  for (const auto& [text, expected] : table)
    EXPECT_EQ(written(parse_media_type(text)), expected) << text;
  EXPECT_EQ(written(parse_media_type(std::string_view("a\0/b", 4))), "-");
}

TEST(MediaType, ListsLeaveOutWhatIsNoMediaType) {
  const struct {
    const char *text, *expected;
  } table[] = {
      {"", ""},
      {" , ,", ""},
      {"text/csv, application/json;q=0.5,*/*;q=0", "text/csv|application/json q500|*/* q0|"},
      {"text, text/csv", "text/csv|"},
      {"a/b;c=\"x,y\",d/e", "a/b;c=x,y|d/e|"},
      {"a/b;c=\"x\\\",y\",d/e", "a/b;c=x\",y|d/e|"},
      {"a/b;c=\"x,d/e", ""},
  };
  for (const auto& [text, expected] : table) {
    std::string all;
    for (const MediaType& type : parse_accept(text)) all += written(type) + "|";
    EXPECT_EQ(all, expected) << text;
  }
}

}  // namespace
}  // namespace kiln::payload
