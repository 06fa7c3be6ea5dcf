// What inference_client_test.py asks of engine/payload: a request's body from standard input, read
// as the network takes it, and a reply to it.
//   inference_client_peer HEADER    HEADER: Inference-Header-Content-Length, or "none"
// Prints one line of JSON, then the reply's body. The network takes [2, 2, 3] pictures (C, H, W).
#include <cstdio>
#include <iostream>
#include <iterator>

#include "engine/payload/inference_protocol.h"
#include "engine/payload/json_writer.h"

namespace {

using namespace kiln::payload;

std::string described(const InferenceRequest& request, const InferenceReply& reply) {
  const Pictures& pictures = request.pictures;
  const bool pixels = pictures.values.empty();
  const std::vector<float> numbers =
      pixels ? std::vector<float>(pictures.bytes.begin(), pictures.bytes.end()) : pictures.values;
  std::string line = "{\"count\":" + std::to_string(pictures.count) + ",\"id\":";
  append_json_string(line, request.id.value_or(""));
  line += std::string(",\"pixels\":") + (pixels ? "true" : "false") + ",\"json_bytes\":";
  line += reply.json_bytes ? std::to_string(*reply.json_bytes) : "null";
  line += ",\"numbers\":";
  append_json_floats(line, numbers);
  return line + "}";
}

// Row r of the results is [r + 0.1, -r / 3, 1e-7].
std::vector<float> results(std::int64_t rows) {
  std::vector<float> values;
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto r = static_cast<float>(row);
    values.insert(values.end(), {r + 0.1f, -r / 3, 1e-7f});
  }
  return values;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string header = argc > 1 ? argv[1] : "none";
  const std::string body(std::istreambuf_iterator<char>(std::cin), {});
  const PictureShape shape{.height = 2, .width = 3, .channels = 2};
  try {
    std::optional<std::size_t> json_bytes;
    if (header != "none") json_bytes = parse_json_bytes(header, body.size());
    const InferenceRequest request = read_inference_request(body, json_bytes, shape);
    const InferenceReply reply =
        write_inference_reply({.name = "m", .version = "1", .shape = shape, .classes = 3}, request,
                              results(request.pictures.count));
    std::cout << described(request, reply) << '\n' << reply.body;
  } catch (const Refusal& refusal) {
    std::fprintf(stderr, "%d %s\n", refusal.status(), refusal.what());
    return 1;
  }
  return 0;
}
