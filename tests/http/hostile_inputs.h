// Bytes that readers of HTTP have taken in different ways, and what this one answers: a status for
// each request, 200 for one that is whole; "wait" where it asks for more.
#pragma once

#include <string>
#include <vector>

namespace kiln::http {

struct HostileInput {
  std::string name, bytes, answers;
};

inline std::string repeated(const std::string& text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

// `fields` each end with CR LF.
inline std::string post(const std::string& fields, const std::string& body) {
  return "POST /x HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" + body;
}

inline std::string chunked(const std::string& body) {
  return post("Transfer-Encoding: chunked\r\n", body);
}

inline std::vector<HostileInput> framing_inputs() {
  const std::string get = "GET /ping HTTP/1.1\r\nHost: a\r\n\r\n";
  return {
      {"control", get, "200"},
      {"two in one piece", get + get, "200,200"},
      {"length", post("Content-Length: 4\r\n", "abcd") + get, "200,200"},
      {"length and encoding",
       post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n") + get, "400"},
      {"encoding and length",
       post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n") + get, "400"},
      {"length 4 then 0", post("Content-Length: 4\r\nContent-Length: 0\r\n", "abcd") + get, "400"},
      {"length 4 twice", post("Content-Length: 4\r\nContent-Length: 4\r\n", "abcd"), "400"},
      {"length 4, 4", post("Content-Length: 4, 4\r\n", "abcd"), "400"},
      {"length +4", post("Content-Length: +4\r\n", "abcd"), "400"},
      {"length -4", post("Content-Length: -4\r\n", "abcd"), "400"},
      {"length 4x", post("Content-Length: 4x\r\n", "abcd"), "400"},
      {"length 0x4", post("Content-Length: 0x4\r\n", "abcd"), "400"},
      {"length empty", post("Content-Length:\r\n", "abcd"), "400"},
      {"length of 30 digits", post("Content-Length: " + std::string(30, '9') + "\r\n", ""), "400"},
      {"length above the limit", post("Content-Length: 6291457\r\n", ""), "413"},
      {"encoding xchunked", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n") + get, "501"},
      {"encoding gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n", ""), "501"},
      {"encoding chunked, gzip", post("Transfer-Encoding: chunked, gzip\r\n", ""), "501"},
      {"encoding identity", post("Transfer-Encoding: identity\r\n", ""), "501"},
      {"encoding twice",
       post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400"},
      {"encoding before a colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n") + get,
       "400"},
      {"encoding in 1.0",
       "POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
      {"encoding in capitals", post("Transfer-Encoding: CHUNKED\r\n", "0\r\n\r\n"), "200"},
  };
}

inline std::vector<HostileInput> chunk_inputs() {
  const std::string get = "GET /ping HTTP/1.1\r\nHost: a\r\n\r\n";
  return {
      {"chunks", chunked("4\r\nabcd\r\n1\r\ne\r\n0\r\n\r\n") + get, "200,200"},
      {"chunk with extension", chunked("4;a=b\r\nabcd\r\n0\r\n\r\n"), "200"},
      {"chunk 0x4", chunked("0x4\r\nabcd\r\n0\r\n\r\n"), "400"},
      {"chunk -4", chunked("-4\r\nabcd\r\n0\r\n\r\n"), "400"},
      {"chunk +4", chunked("+4\r\nabcd\r\n0\r\n\r\n"), "400"},
      {"chunk without a size", chunked("\r\nabcd\r\n0\r\n\r\n"), "400"},
      {"chunk of 17 digits", chunked("10000000000000004\r\nabcd\r\n0\r\n\r\n"), "400"},
      {"chunk above the limit", chunked("600001\r\n"), "413"},
      {"chunk longer than said", chunked("4\r\nabcdef\r\n0\r\n\r\n"), "400"},
      {"quoted extension", chunked("4;a=\"b\"\r\nabcd\r\n0\r\n\r\n"), "400"},
      {"quote over two lines", chunked("4;a=\"b\r\n\"\r\nabcd\r\n0\r\n\r\n"), "400"},
      {"long extension", chunked("4;" + std::string(300, 'a') + "\r\nabcd\r\n0\r\n\r\n"), "400"},
      {"chunk longer than said, cut off", chunked("1\r\nabc"), "400"},
      {"CR alone in a chunk's line", chunked("4\rabcd"), "400"},
      {"last chunk ends with LF", chunked("0\r\n\n"), "400"},
      {"trailer", chunked("4\r\nabcd\r\n0\r\nX: y\r\n\r\n") + get, "400"},
      {"70000 chunks of 1 byte", chunked(repeated("1\r\na\r\n", 70000) + "0\r\n\r\n"), "400"},
      {"chunk line without end", chunked(std::string(9000, '0')), "400"},
  };
}

inline std::vector<HostileInput> header_inputs() {
  const std::string get = "GET /ping HTTP/1.1\r\nHost: a\r\n\r\n";
  const std::string nul = "GET / HTTP/1.1\r\nHost: a\r\nX: a" + std::string(1, '\0') + "b\r\n\r\n";
  return {
      {"no Host", "GET / HTTP/1.1\r\n\r\n", "400"},
      {"no Host in 1.0", "GET / HTTP/1.0\r\n\r\n", "200"},
      {"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
      {"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "400"},
      {"Host with a slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"},
      {"lines end with LF", "GET / HTTP/1.1\nHost: a\n\n", "400"},
      {"CR alone", "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", "400"},
      {"NUL", nul, "400"},
      {"folded", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", "400"},
      {"folded first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400"},
      {"field without a colon", "GET / HTTP/1.1\r\nHost: a\r\nabc\r\n\r\n", "400"},
      {"field without a name", "GET / HTTP/1.1\r\nHost: a\r\n: abc\r\n\r\n", "400"},
      {"100 fields", "GET / HTTP/1.1\r\nHost: a\r\n" + repeated("X: y\r\n", 99) + "\r\n", "200"},
      {"101 fields", "GET / HTTP/1.1\r\nHost: a\r\n" + repeated("X: y\r\n", 100) + "\r\n", "431"},
      {"10000 fields", "GET / HTTP/1.1\r\nHost: a\r\n" + repeated("X: y\r\n", 10000), "431"},
      {"long field", "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(9000, 'y'), "431"},
      {"long target", "GET /" + std::string(9000, 'y'), "431"},
      {"version 2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505"},
      {"version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "505"},
      {"no version", "GET /\r\nHost: a\r\n\r\n", "400"},
      {"version in small letters", "GET / http/1.1\r\nHost: a\r\n\r\n", "400"},
      {"target with a space", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
      {"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
      {"absolute target", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
      {"no method", " / HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
      {"a greeting of TLS", std::string("\x16\x03\x01\x02", 4), "400"},
      {"empty line first", "\r\n" + get, "400"},
      {"Expect", post("Content-Length: 1\r\nExpect: 100-continue\r\n", "a"), "200"},
      {"another Expect", post("Content-Length: 1\r\nExpect: 200-ok\r\n", "a"), "417"},
      {"gzip body", post("Content-Length: 1\r\nContent-Encoding: gzip\r\n", "a"), "415"},
      {"half a header", "GET / HTTP/1.1\r\nHost:", "wait"},
      {"half a body", post("Content-Length: 4\r\n", "ab"), "wait"},
      {"closed by the client", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + get,
       "200"},
  };
}

inline std::vector<HostileInput> hostile_inputs() {
  std::vector<HostileInput> all = framing_inputs();
  for (const auto& more : {chunk_inputs(), header_inputs()})
    all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace kiln::http
