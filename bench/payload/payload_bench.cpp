// kiln-bench-payload: what a request of one picture 32x32x3 and a reply of 10 numbers cost.
//   kiln-bench-payload --benchmark_repetitions=9 --benchmark_report_aggregates_only=true
#include <benchmark/benchmark.h>
#include <cmath>
#include <string>
#include <vector>

#include "engine/image/image_codec.h"
#include "engine/payload/decode.h"
#include "engine/payload/encode.h"
#include "engine/payload/inference_protocol.h"
#include "engine/payload/json_writer.h"

namespace kiln::payload {
namespace {

constexpr PictureShape kShape{.height = 32, .width = 32, .channels = 3};

std::string npy_body(const char* descr, std::string_view data) {
  std::string dict =
      std::string("{'descr': '") + descr + "', 'fortran_order': False, 'shape': (1, 3, 32, 32), }";
  dict.resize(117, ' ');
  dict += '\n';
  return std::string("\x93NUMPY\x01\x00\x76\x00", 10) + dict + std::string(data);
}

float value_of(int i) { return static_cast<float>(std::sin(0.7 * i) * 2); }

template <class T>
std::string npy_floats(const char* descr) {
  std::vector<T> values;
  for (int i = 0; i < 3072; ++i) values.push_back(static_cast<T>(value_of(i)));
  return npy_body(descr, {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
}

std::string byte_picture() {
  std::string bytes;
  for (int i = 0; i < 3072; ++i) bytes += static_cast<char>(i * 37 % 251);
  return bytes;
}

std::string csv_pixels() {
  std::string body;
  for (int i = 0; i < 3072; ++i) body += (i > 0 ? "," : "") + std::to_string(i * 37 % 251);
  return body + "\n";
}

std::string csv_values() {
  std::vector<float> values;
  for (int i = 0; i < 3072; ++i) values.push_back(value_of(i));
  return encode_outputs(values, 1, 3072, {.format = ReplyFormat::csv});
}

std::string png(int side) {
  Image image{.width = side, .height = side, .channels = 3};
  for (int i = 0; i < side * side * 3; ++i)
    image.bytes.push_back(static_cast<std::uint8_t>(i * 37 % 251));
  const std::vector<std::byte> file = encode_png(image);
  return {reinterpret_cast<const char*>(file.data()), file.size()};
}

void decode(benchmark::State& state, const std::string& type, const std::string& body) {
  for (auto step : state) {
    const Pictures pictures = decode_pictures(body, type, kShape);
    benchmark::DoNotOptimize(pictures.bytes.data());
    benchmark::DoNotOptimize(pictures.values.data());
  }
  state.counters["body"] = static_cast<double>(body.size());
}

void encode(benchmark::State& state, const std::string& accept, int rows) {
  std::vector<float> values;
  for (int i = 0; i < rows * 10; ++i) values.push_back(std::exp(-std::abs(value_of(i)) * 4) / 3);
  for (auto step : state) {
    const std::string body = encode_outputs(values, rows, 10, *choose_reply_type(accept));
    benchmark::DoNotOptimize(body.data());
  }
}

// Lines of CSV as the lists of JSON.
std::string json_list(const std::string& line) {
  return "[" + line.substr(0, line.size() - 1) + "]";
}

// The shortest digits of a float: what a client writes that knows its numbers are of 32 bits.
std::string json_short_values() {
  std::vector<float> values;
  for (int i = 0; i < 3072; ++i) values.push_back(value_of(i));
  std::string body;
  append_json_floats(body, values);
  return body;
}

std::string infer_json(const std::string& data) {
  return R"({"inputs":[{"name":"input","shape":[1,3,32,32],"datatype":"FP32","data":)" + data +
         "}]}";
}

void infer(benchmark::State& state, const std::string& json, const std::string& raw) {
  const std::string body = json + raw;
  std::optional<std::size_t> json_bytes;
  if (!raw.empty()) json_bytes = json.size();
  for (auto step : state) {
    const InferenceRequest request = read_inference_request(body, json_bytes, kShape);
    benchmark::DoNotOptimize(request.pictures.values.data());
  }
  state.counters["body"] = static_cast<double>(body.size());
}

void register_infer() {
  const std::string binary = R"({"inputs":[{"name":"input","shape":[1,3,32,32],"datatype":"FP32",)"
                             R"("parameters":{"binary_data_size":12288}}]})";
  const std::string raw = npy_floats<float>("<f4").substr(128);
  const auto add = [](const char* name, const std::string& json, const std::string& behind) {
    benchmark::RegisterBenchmark(name, [json, behind](benchmark::State& state) {
      infer(state, json, behind);
    })->Unit(benchmark::kMicrosecond);
  };
  add("infer/json_fp32", infer_json(json_list(csv_values())), "");
  add("infer/binary_fp32", binary, raw);
}

void register_all() {
  const auto add_decode = [](const std::string& name, const char* type, const std::string& body) {
    benchmark::RegisterBenchmark(("decode/" + name).c_str(), [type = std::string(type),
                                                              body](benchmark::State& state) {
      decode(state, type, body);
    })->Unit(benchmark::kMicrosecond);
  };
  add_decode("npy_f32", "application/x-npy", npy_floats<float>("<f4"));
  add_decode("npy_f64", "application/x-npy", npy_floats<double>("<f8"));
  add_decode("npy_u8", "application/x-npy", npy_body("|u1", byte_picture()));
  add_decode("octets", "application/octet-stream", byte_picture());
  add_decode("csv_pixels", "text/csv", csv_pixels());
  add_decode("csv_values", "text/csv", csv_values());
  add_decode("json_pixels", "application/json", json_list(csv_pixels()));
  add_decode("json_values", "application/json", json_list(csv_values()));
  add_decode("json_short_values", "application/json", json_short_values());
  register_infer();
  add_decode("png_32", "image/png", png(32));
  add_decode("png_640", "image/png", png(640));
  for (const int rows : {1, 32})
    for (const char* accept : {"application/json", "text/csv", "application/x-npy"})
      benchmark::RegisterBenchmark(
          (std::string("encode/") + accept + "/rows" + std::to_string(rows)).c_str(),
          [accept, rows](benchmark::State& state) { encode(state, accept, rows); })
          ->Unit(benchmark::kMicrosecond);
}

}  // namespace
}  // namespace kiln::payload

int main(int argc, char** argv) {
  kiln::payload::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
