#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "engine/payload/inference_protocol.h"
#include "engine/payload/json_reader.h"

namespace {

using namespace kiln::payload;

constexpr PictureShape kShape{.height = 1, .width = 3, .channels = 2};
constexpr ModelFacts kModel{.name = "m", .version = "1", .shape = kShape, .classes = 2};

void check(const InferenceRequest& request) {
  const Pictures& pictures = request.pictures;
  const auto numbers = static_cast<std::size_t>(pictures.count * kShape.size());
  if (pictures.count < 1 || pictures.bytes.size() + pictures.values.size() != numbers) std::abort();
  for (const float value : pictures.values)
    if (!std::isfinite(value)) std::abort();
  const std::vector<float> values(2, 0.5f);
  const InferenceReply reply = write_inference_reply(kModel, request, values);
  JsonReader reader(std::string_view(reply.body).substr(0, reply.json_bytes.value_or(SIZE_MAX)));
  reader.skip();
  reader.end();
}

void read(std::string_view body, std::optional<std::size_t> json_bytes) {
  std::optional<InferenceRequest> request;
  try {
    request = read_inference_request(body, json_bytes, kShape, {.picture_count = 64});
  } catch (const Refusal&) {
    return;
  }
  check(*request);
}

}  // namespace

// Any bytes as a request: its first line is the header that tells the JSON's length. What is taken
// is whole and finite, and the reply, which repeats its id, is JSON.
// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line = std::min(input.find('\n'), input.size());
  const std::string_view header = input.substr(0, line);
  const std::string_view body = input.substr(std::min(line + 1, input.size()));
  read(body, {});
  std::size_t json_bytes = 0;
  try {
    json_bytes = parse_json_bytes(header, body.size());
  } catch (const Refusal&) {
    return 0;
  }
  if (json_bytes > body.size()) std::abort();
  read(body, json_bytes);
  return 0;
}
