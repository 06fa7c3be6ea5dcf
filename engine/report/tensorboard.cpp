#include "engine/report/tensorboard.h"

#include <array>
#include <bit>
#include <chrono>
#include <cstring>
#include <unistd.h>

namespace kiln {
namespace {

constexpr std::array<std::uint32_t, 256> kCrcTable = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value & 1u ? value >> 1 ^ 0x82F63B78u : value >> 1;
    table[i] = value;
  }
  return table;
}();

template <class T>
void append_little_endian(std::string& out, T value) {
  static_assert(std::endian::native == std::endian::little);
  std::array<char, sizeof value> bytes{};
  std::memcpy(bytes.data(), &value, sizeof value);
  out.append(bytes.data(), bytes.size());
}

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// A protocol buffer message under construction. Source: protobuf.dev, "Encoding".
class Message {
 public:
  Message& whole(int field, std::uint64_t value) {
    tag(field, 0);
    varint(value);
    return *this;
  }
  Message& real64(int field, double value) {
    tag(field, 1);
    append_little_endian(bytes_, value);
    return *this;
  }
  Message& text(int field, std::string_view value) {
    tag(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& real32(int field, float value) {
    tag(field, 5);
    append_little_endian(bytes_, value);
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void tag(int field, int wire_type) { varint(static_cast<std::uint64_t>(field << 3 | wire_type)); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Fields of event.proto: wall_time 1, step 2, file_version 3, summary 5, session_log 7.
Message event(std::int64_t step) {
  Message message;
  message.real64(1, wall_seconds());
  if (step != 0) message.whole(2, static_cast<std::uint64_t>(step));
  return message;
}

// Summary.value 1 of summary.proto.
std::string summary_event(std::int64_t step, const Message& value) {
  return event(step).text(5, Message().text(1, value.bytes()).bytes()).bytes();
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "host";
  std::string host(name.data());
  for (char& c : host)
    if (c == '/') c = '-';
  return host;
}

// A name that is not taken yet: runs may restart within one second.
Path fresh_path(const Path& folder) {
  make_directories(folder);
  auto seconds = static_cast<std::int64_t>(wall_seconds());
  for (;; ++seconds) {
    Path path =
        folder / ("events.out.tfevents." + std::to_string(seconds) + "." + host_name() + ".kiln");
    if (!std::filesystem::exists(path)) return path;
  }
}

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes) {
  std::uint32_t crc = ~std::uint32_t{0};
  for (const std::byte byte : bytes)
    crc = kCrcTable[(crc ^ static_cast<std::uint32_t>(byte)) & 0xFFu] ^ crc >> 8;
  return ~crc;
}

std::uint32_t masked_crc32c(std::span<const std::byte> bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

std::string tfrecord(std::string_view payload) {
  std::string record;
  append_little_endian(record, static_cast<std::uint64_t>(payload.size()));
  append_little_endian(record, masked_crc32c(as_bytes(record)));
  record += payload;
  append_little_endian(record, masked_crc32c(as_bytes(payload)));
  return record;
}

TensorBoardWriter::TensorBoardWriter(const Path& folder, const std::optional<ResumePoint>& resume)
    : file_(fresh_path(folder), 0) {
  append(event(0).text(3, "brain.Event:2").bytes());
  // SessionLog.status 1 = START 1: points of earlier files from this step on are dropped.
  if (resume) append(event(resume->step + 1).text(7, Message().whole(1, 1).bytes()).bytes());
}

// Summary.Value: tag 1, simple_value 2, image 4.
void TensorBoardWriter::scalar(std::string_view tag, std::int64_t step, double value) {
  append(summary_event(step, Message().text(1, tag).real32(2, static_cast<float>(value))));
}

// Summary.Image: height 1, width 2, colorspace 3 (1 grey, 3 RGB), encoded_image_string 4.
void TensorBoardWriter::picture(std::string_view tag, std::int64_t step, const Picture& picture) {
  Message image;
  image.whole(1, static_cast<std::uint64_t>(picture.height))
      .whole(2, static_cast<std::uint64_t>(picture.width))
      .whole(3, static_cast<std::uint64_t>(picture.channel_count))
      .text(4, encode_png(picture));
  append(summary_event(step, Message().text(1, tag).text(4, image.bytes())));
}

void TensorBoardWriter::write(const EpochMetrics& metrics, std::int64_t step) {
  scalar("loss/train", step, metrics.train_loss);
  scalar("loss/test", step, metrics.test_loss);
  scalar("accuracy/train", step, metrics.train_accuracy);
  scalar("accuracy/test", step, metrics.test_accuracy);
  scalar("speed/images_per_second", step, metrics.images_per_second);
  scalar("learning_rate", step, metrics.learning_rate);
}

void TensorBoardWriter::write(const StepMetrics& metrics) {
  scalar("loss/step", metrics.step, metrics.loss);
}

void TensorBoardWriter::append(std::string_view event_bytes) {
  file_.append(tfrecord(event_bytes));
}

}  // namespace kiln
