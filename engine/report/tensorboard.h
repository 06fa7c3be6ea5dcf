// TensorBoard event files: TFRecord frames around hand-encoded protocol buffers.
//
// A record is: u64 length | u32 masked CRC32C of the length | bytes | u32 masked CRC32C of the
// bytes, all little-endian. Source: tensorflow/core/lib/io/record_writer.h, util/event.proto and
// framework/summary.proto.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/core/file.h"
#include "engine/report/append_file.h"
#include "engine/report/metrics.h"
#include "engine/report/png.h"

namespace kiln {

// CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected), as in RFC 3720 appendix B.4.
std::uint32_t crc32c(std::span<const std::byte> bytes);
// TFRecord's mask, which keeps a CRC of data that holds CRCs from degenerating.
std::uint32_t masked_crc32c(std::span<const std::byte> bytes);
// `payload` in its frame.
std::string tfrecord(std::string_view payload);

class TensorBoardWriter {
 public:
  // Creates `<folder>/events.out.tfevents.<seconds>.<host>.kiln`, making the folder if needed. With
  // `resume`, TensorBoard is told to forget what earlier files in the folder hold behind that step.
  // Throws Error (io).
  explicit TensorBoardWriter(const Path& folder, const std::optional<ResumePoint>& resume = {});

  void scalar(std::string_view tag, std::int64_t step, double value);
  void picture(std::string_view tag, std::int64_t step, const Picture& picture);
  // loss/train, loss/test, accuracy/train, ..., with the epoch's last step on the axis.
  void write(const EpochMetrics& metrics, std::int64_t step);
  // loss/step.
  void write(const StepMetrics& metrics);

  const Path& path() const { return file_.path(); }

 private:
  void append(std::string_view event_bytes);

  AppendFile file_;
};

}  // namespace kiln
