#include "engine/http/http_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/http/beast_reader.h"
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
  EXPECT_EQ(parser.body().view(), "xyz");
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

TEST(HttpParser, ANextRequestShowsNothingOfTheLastOne) {
  HttpParser parser({});
  parser.feed("HEAD /a HTTP/1.0\r\nHost: a\r\nX: " + std::string(100, 'x') + "\r\nY: y\r\n\r\n");
  ASSERT_EQ(parser.state(), State::complete);
  parser.next();
  EXPECT_TRUE(parser.header().fields.empty());
  EXPECT_EQ(parser.header().method, "");
  EXPECT_TRUE(parser.header().keep_alive);
  const std::string second = post("Content-Length: 1\r\n", "b");
  parser.feed(second);
  ASSERT_EQ(parser.state(), State::complete);
  ASSERT_EQ(parser.header().fields.size(), 2u);
  EXPECT_EQ(parser.header().fields[1].name, "Content-Length");
  EXPECT_EQ(parser.header().fields[1].value, "1");
  EXPECT_EQ(parser.header().field("Y"), "");
  EXPECT_EQ(parser.body().view(), "b");
}

TEST(HttpParser, TheHeaderLimitIsExact) {
  const std::string start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  for (const std::size_t size : {199, 200, 201}) {
    const std::string bytes = start + std::string(size - start.size() - 4, 'x') + "\r\n\r\n";
    ASSERT_EQ(bytes.size(), size);
    for (const std::size_t piece : {size, std::size_t{1}, std::size_t{7}, size - 2})
      EXPECT_EQ(parse_all(bytes, piece, {.header_bytes = 200}).answers, size <= 200 ? "200" : "431")
          << size << ", in pieces of " << piece;
  }
}

TEST(HttpParser, ConnectionIsAListOfTokens) {
  const auto answers = [](const std::string& value) {
    const std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\nConnection: " + value + "\r\n\r\n";
    return parse_all(bytes + bytes, 1000).answers;
  };
  EXPECT_EQ(answers("keep-alive"), "200,200");
  EXPECT_EQ(answers("x, upgrade"), "200,200");
  EXPECT_EQ(answers("keep-alive, close"), "200");
  EXPECT_EQ(answers(",, close ,"), "200");
  EXPECT_EQ(answers("close x"), "400");
  EXPECT_EQ(answers("a\"b"), "400");
}

TEST(HttpParser, BeastSeesTheSameInWhatIsTaken) {
  for (const HostileInput& input : hostile_inputs())
    EXPECT_EQ(difference_from_beast(input.bytes), "") << input.name;
}

TEST(HttpParser, TheSecondReaderReadsAndRefuses) {
  const auto read = read_by_beast(chunked("3\r\nabc\r\n0\r\n\r\n"));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->method, "POST");
  EXPECT_EQ(read->body, "abc");
  EXPECT_THAT(read->fields, testing::ElementsAre("Host: a", "Transfer-Encoding: chunked"));
  EXPECT_FALSE(read_by_beast("GET / HTTP/1.1\r\nHost a\r\n\r\n"));
  EXPECT_FALSE(read_by_beast(post("Content-Length: 3\r\n", "ab")));
  EXPECT_FALSE(read_by_beast(post("Content-Length: 1\r\n", "ab")));
}

// The first date is the example of RFC 9110; the others are from `date -u -d @SECONDS`.
TEST(HttpText, ADateIsThatOfTheStandard) {
  const auto date = [](long seconds) {
    return http_date(std::chrono::system_clock::time_point(std::chrono::seconds(seconds)));
  };
  EXPECT_EQ(date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(date(951782400), "Tue, 29 Feb 2000 00:00:00 GMT");
  EXPECT_EQ(date(1798761599), "Thu, 31 Dec 2026 23:59:59 GMT");
}

TEST(HttpText, AnErrorIsOneLineOfJson) {
  EXPECT_EQ(http_error_body("a \"b\" \\ \n\xff"),
            "{\"error\": \"a \\\"b\\\" \\\\ \\u000a\uFFFD\"}\n");
  EXPECT_EQ(http_error_body("gr\u00fc\u00df \U0001F600 \xc3"),
            "{\"error\": \"gr\u00fc\u00df \U0001F600 \uFFFD\"}\n");
  EXPECT_EQ(http_reason(404), "Not Found");
  EXPECT_EQ(http_reason(299), "Unknown");
}

}  // namespace
}  // namespace kiln::http
