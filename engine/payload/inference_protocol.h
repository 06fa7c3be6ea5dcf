// The Open Inference Protocol, version 2 (REST), with the extension for binary tensors: bodies of
// requests into pictures, results and facts about a model into bodies of replies. Knows nothing of
// HTTP: who routes hands over the body and what the header Inference-Header-Content-Length says.
//
//   {"id": "7", "inputs": [{"name": "input", "shape": [1, 3, 32, 32], "datatype": "UINT8",
//                           "data": [...]}]}
//
//   shape      [N,C,H,W], [N,H,W,C] or one picture without N; where both fit, channels come first
//   datatype   UINT8 and all other integers are pixels 0 to 255, FP16, FP32 and FP64 are what the
//              network sees; neither BOOL nor BYTES
//   data       flat or nested; instead of it `parameters.binary_data_size` bytes, little endian,
//              behind the JSON
//
// Where an optional member (id, parameters, outputs) is null, it counts as absent: clients that are
// generated from the schema write it so.
//
// Members that the protocol does not know are refused, a word written wrong would be one too.
// Within `parameters` what has no meaning here is read over, except where the client would wait for
// something else than it gets: shared memory and classification are refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/payload/decode.h"

namespace kiln::payload {

inline constexpr std::string_view kInputName = "input", kOutputName = "output";

struct InferenceRequest {
  std::optional<std::string> id;
  Pictures pictures;
  bool binary_output = false;
};

// The number in the header Inference-Header-Content-Length: where in a body of `body_bytes` the
// JSON ends. Throws Refusal 400 for anything but digits and for more than the body has.
std::size_t parse_json_bytes(std::string_view header, std::size_t body_bytes);

// `json_bytes`: what parse_json_bytes returned, where the header was there. Throws Refusal: 400
// with the byte or the member, 413 for too many pictures.
InferenceRequest read_inference_request(std::string_view body,
                                        std::optional<std::size_t> json_bytes,
                                        const PictureShape& shape, const DecodeLimits& limits = {});

// What clients are told of a model. The texts are UTF-8.
struct ModelFacts {
  std::string_view name, version;
  PictureShape shape;
  std::int64_t classes = 0;
};

struct InferenceReply {
  std::string body;
  std::optional<std::size_t> json_bytes;  // for Inference-Header-Content-Length, if binary
};

// `values` is [rows, classes] with at least one row. As JSON a number that is not finite is null.
InferenceReply write_inference_reply(const ModelFacts& model, const InferenceRequest& request,
                                     std::span<const float> values);

std::string server_metadata(std::string_view version);
// `versions`: all that are served.
std::string model_metadata(const ModelFacts& model, std::span<const std::string> versions);
std::string live_reply(bool live);
std::string ready_reply(bool ready);
std::string model_ready_reply(std::string_view name, bool ready);

}  // namespace kiln::payload
