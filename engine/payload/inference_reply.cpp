#include <array>
#include <bit>
#include <cstring>

#include "engine/payload/inference_protocol.h"
#include "engine/payload/json_writer.h"

namespace kiln::payload {
namespace {

static_assert(std::endian::native == std::endian::little, "binary tensors are little endian");

std::string flag(std::string_view key, bool value) {
  std::string body = "{";
  append_json_string(body, key);
  return body + (value ? ":true}" : ":false}");
}

// {"name":...,"datatype":"FP32","shape":[...], left open.
void open_tensor(std::string& body, std::string_view name, std::span<const std::int64_t> shape) {
  body += "[{\"name\":";
  append_json_string(body, name);
  body += R"(,"datatype":"FP32","shape":)";
  append_json_integers(body, shape);
}

}  // namespace

InferenceReply write_inference_reply(const ModelFacts& model, const InferenceRequest& request,
                                     std::span<const float> values) {
  InferenceReply reply;
  std::string& body = reply.body;
  body = "{\"model_name\":";
  append_json_string(body, model.name);
  body += ",\"model_version\":";
  append_json_string(body, model.version);
  if (request.id) {
    body += ",\"id\":";
    append_json_string(body, *request.id);
  }
  body += ",\"outputs\":";
  const auto size = static_cast<std::int64_t>(values.size());
  open_tensor(body, kOutputName, std::array{size / model.classes, model.classes});
  if (!request.binary_output) {
    body += ",\"data\":";
    append_json_floats(body, values);
    body += "}]}";
    return reply;
  }
  body += ",\"parameters\":{\"binary_data_size\":" + std::to_string(values.size_bytes()) + "}}]}";
  reply.json_bytes = body.size();
  body.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  return reply;
}

std::string server_metadata(std::string_view version) {
  std::string body = R"({"name":"kiln","version":)";
  append_json_string(body, version);
  return body + R"(,"extensions":["binary_tensor_data"]})";
}

std::string model_metadata(const ModelFacts& model, std::span<const std::string> versions) {
  std::string body = "{\"name\":";
  append_json_string(body, model.name);
  body += ",\"versions\":[";
  for (const std::string& version : versions) {
    if (version != versions.front()) body += ',';
    append_json_string(body, version);
  }
  body += R"(],"platform":"kiln","inputs":)";
  const PictureShape& shape = model.shape;
  open_tensor(body, kInputName,
              std::array{std::int64_t{-1}, shape.channels, shape.height, shape.width});
  body += "}],\"outputs\":";
  open_tensor(body, kOutputName, std::array{std::int64_t{-1}, model.classes});
  return body + "}]}";
}

std::string live_reply(bool live) { return flag("live", live); }

std::string ready_reply(bool ready) { return flag("ready", ready); }

std::string model_ready_reply(std::string_view name, bool ready) {
  std::string body = "{\"name\":";
  append_json_string(body, name);
  return body + (ready ? ",\"ready\":true}" : ",\"ready\":false}");
}

}  // namespace kiln::payload
