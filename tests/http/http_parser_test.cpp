#include "engine/http/http_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/http/hostile_inputs.h"
#include "tests/http/parse_all.h"

namespace kiln::http {
namespace {

using State = HttpParser::State;

TEST(HttpParser, HostileInputsHaveOneAnswerHoweverTheyAreCut) {
  for (const HostileInput& input : hostile_inputs())
    for (const std::size_t piece : {input.bytes.size(), std::size_t{1}, std::size_t{7}})
      EXPECT_EQ(parse_all(input.bytes, piece).answers, input.answers)
          << input.name << ", in pieces of " << piece;
}

TEST(HttpParser, ShowsHeaderAndBody) {
  HttpParser parser({});
  const std::string bytes =
      "POST /invocations?a=b HTTP/1.1\r\nHost: a:8080\r\ncontent-TYPE:  image/png \r\n"
      "Content-Length: 3\r\n\r\nxyzGET";
  EXPECT_EQ(parser.state(), State::empty);
  EXPECT_EQ(parser.feed(bytes), bytes.size() - 3);
  ASSERT_EQ(parser.state(), State::complete);
  EXPECT_EQ(parser.header().method, "POST");
  EXPECT_EQ(parser.header().target, "/invocations?a=b");
  EXPECT_EQ(parser.header().field("Content-Type"), "image/png");
  EXPECT_EQ(parser.header().field("Accept"), "");
  EXPECT_TRUE(parser.header().keep_alive);
  EXPECT_EQ(parser.body(), "xyz");
  EXPECT_EQ(parser.feed("GET"), 0u);
  parser.next();
  EXPECT_EQ(parser.feed("GET"), 3u);
  EXPECT_EQ(parser.state(), State::header);
}

TEST(HttpParser, KeepAliveFollowsTheVersion) {
  const auto keep_alive = [](const std::string& version, const std::string& field) {
    HttpParser parser({});
    parser.feed("GET / HTTP/" + version + "\r\nHost: a\r\n" + field + "\r\n");
    EXPECT_EQ(parser.state(), State::complete);
    return parser.header().keep_alive;
  };
  EXPECT_TRUE(keep_alive("1.1", ""));
  EXPECT_FALSE(keep_alive("1.1", "Connection: Close\r\n"));
  EXPECT_FALSE(keep_alive("1.0", ""));
  EXPECT_TRUE(keep_alive("1.0", "Connection: keep-alive\r\n"));
}

TEST(HttpParser, TheBodyLimitIsExact) {
  const HttpLimits limits{.body_bytes = 100};
  for (const int count : {0, 99, 100, 101}) {
    const std::string body(count, 'b');
    const std::string expected = count <= 100 ? "200" : "413";
    char line[16];
    std::snprintf(line, sizeof line, "%x\r\n", count);
    const std::string pieces = count == 0 ? "0\r\n\r\n" : line + body + "\r\n0\r\n\r\n";
    const std::string halves =
        "1\r\nb\r\n" + (count < 2 ? "" : [&] {
          char rest[16];
          std::snprintf(rest, sizeof rest, "%x\r\n", count - 1);
          return rest + body.substr(1) + "\r\n";
        }()) + "0\r\n\r\n";
    for (const std::size_t piece : {std::size_t{1}, std::size_t{1000}}) {
      EXPECT_EQ(
          parse_all(post("Content-Length: " + std::to_string(count) + "\r\n", body), piece, limits)
              .answers,
          expected);
      EXPECT_EQ(parse_all(chunked(pieces), piece, limits).answers, expected);
      EXPECT_EQ(parse_all(chunked(halves), piece, limits).answers, expected);
    }
  }
}

TEST(HttpParser, ALengthAboveTheLimitIsRefusedBeforeTheBodyComes) {
  HttpParser parser({});
  parser.feed(post("Content-Length: 18446744073709551615\r\n", ""));
  EXPECT_EQ(parser.state(), State::refused);
  EXPECT_EQ(parser.refusal().status, 413);
}

TEST(HttpParser, ExpectIsToldWhereTheBodyIsStillToCome) {
  HttpParser parser({});
  parser.feed(post("Content-Length: 1\r\nExpect: 100-Continue\r\n", ""));
  EXPECT_EQ(parser.state(), State::body);
  EXPECT_TRUE(parser.header().expects_continue);
  HttpParser empty({});
  empty.feed(post("Content-Length: 0\r\nExpect: 100-continue\r\n", ""));
  EXPECT_EQ(empty.state(), State::complete);
  EXPECT_FALSE(empty.header().expects_continue);
}

TEST(HttpParser, BodiesComeOutWhole) {
  std::string body;
  for (int i = 0; i < 100000; ++i) body.push_back(static_cast<char>(i * 7));
  const std::string length = post("Content-Length: 100000\r\n", body);
  const std::string chunks = chunked("c350\r\n" + body.substr(0, 50000) + "\r\nc350\r\n" +
                                     body.substr(50000) + "\r\n0\r\n\r\n");
  for (const std::size_t piece : {std::size_t{1}, std::size_t{4093}, std::size_t{1} << 20}) {
    EXPECT_EQ(parse_all(length + length, piece).bodies, body + body);
    EXPECT_EQ(parse_all(chunks + chunks, piece).bodies, body + body);
  }
}

TEST(HttpText, AnErrorIsOneLineOfJson) {
  EXPECT_EQ(http_error_body("a \"b\" \\ \n\xff"),
            "{\"error\": \"a \\\"b\\\" \\\\ \\u000a\\u00ff\"}\n");
  EXPECT_EQ(http_reason(404), "Not Found");
  EXPECT_EQ(http_reason(299), "Unknown");
}

}  // namespace
}  // namespace kiln::http
