#include "engine/report/progress.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cmath>
#include <cstdarg>
#include <cstdlib>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>

namespace kiln {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr int kMinBarCells = 8, kMaxBarCells = 40;
// Widest line: 512 cells of text, and a bar of three bytes a cell with its colours.
constexpr std::size_t kBufferBytes = 1024;

constexpr std::string_view kStartOfLine = "\r", kClearToEnd = "\x1b[K";
constexpr std::string_view kBarColour = "\x1b[32m", kFaint = "\x1b[2m", kPlain = "\x1b[0m";

// A short text in place, so that a redraw allocates nothing.
struct Field {
  std::array<char, 64> characters{};
  int length = 0;

  std::string_view text() const { return {characters.data(), static_cast<std::size_t>(length)}; }
};

__attribute__((format(printf, 1, 2))) Field field(const char* format, ...) {
  Field out;
  std::va_list values;
  va_start(values, format);
  const int wanted = std::vsnprintf(out.characters.data(), out.characters.size(), format, values);
  va_end(values);
  out.length = std::clamp(wanted, 0, static_cast<int>(out.characters.size()) - 1);
  return out;
}

// 12345.6 -> "12,346"
Field grouped(double value) {
  const Field digits = field("%.0f", std::isfinite(value) ? std::clamp(value, 0.0, 1e15) : 0.0);
  Field out;
  for (int i = 0; i < digits.length; ++i) {
    if (i > 0 && (digits.length - i) % 3 == 0)
      out.characters[static_cast<std::size_t>(out.length++)] = ',';
    out.characters[static_cast<std::size_t>(out.length++)] =
        digits.characters[static_cast<std::size_t>(i)];
  }
  return out;
}

// "0:07", "12:34", "1:02:03"
Field clock_text(double seconds) {
  if (!std::isfinite(seconds)) return field("-:--");
  const auto whole = static_cast<long long>(std::clamp(std::ceil(seconds), 0.0, 3.6e8));
  const long long hours = whole / 3600, minutes = whole / 60 % 60;
  if (hours > 0) return field("%lld:%02lld:%02lld", hours, minutes, whole % 60);
  return field("%lld:%02lld", minutes, whole % 60);
}

Field speed(double images_per_second) {
  return field("%s img/s", grouped(images_per_second).characters.data());
}

Field time_left(double seconds) { return field("%s left", clock_text(seconds).characters.data()); }

Field epoch_text(std::int64_t epoch, std::int64_t epoch_count) {
  const int digits = field("%lld", static_cast<long long>(epoch_count)).length;
  return field("epoch %*lld/%lld", digits, static_cast<long long>(epoch),
               static_cast<long long>(epoch_count));
}

const char* environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    std::string value = environment(name);
    if (value.empty()) continue;  // the first that is set decides
    std::transform(value.begin(), value.end(), value.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return value.find("utf-8") != std::string::npos || value.find("utf8") != std::string::npos;
  }
  return false;
}

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

ProgressOptions detect_progress_options(std::FILE* stream) {
  ProgressOptions options;
  const std::string_view terminal = environment("TERM");
  options.redraw = ::isatty(::fileno(stream)) == 1 && !terminal.empty() && terminal != "dumb";
  options.colour = options.redraw && *environment("NO_COLOR") == '\0';
  options.unicode = options.redraw && locale_is_utf8();
  const long columns = std::strtol(environment("COLUMNS"), nullptr, 10);
  if (columns > 0 && columns <= 10000) options.column_count = static_cast<int>(columns);
  return options;
}

Progress::Progress(std::FILE* stream, ProgressOptions options)
    : stream_(stream), options_(std::move(options)) {
  if (!options_.now) options_.now = steady_seconds;
  buffer_.reserve(kBufferBytes);
}

Progress::~Progress() {
  if (!state_.drawn) return;
  std::fputc('\n', stream_);
  std::fflush(stream_);
}

void Progress::begin_epoch(std::int64_t epoch, std::int64_t epoch_count, std::int64_t batch_count) {
  state_ = {.epoch = epoch,
            .epoch_count = epoch_count,
            .batch_count = std::max<std::int64_t>(batch_count, 1),
            .epoch_start = now(),
            .last_draw = state_.last_draw,
            .last_epoch_seconds = state_.last_epoch_seconds,
            .drawn = state_.drawn};
}

bool Progress::wants_step(std::int64_t batch_index) const {
  if (!options_.redraw)
    return options_.log_interval > 0 && (batch_index + 1) % options_.log_interval == 0;
  return !state_.drawn || batch_index + 1 == state_.batch_count ||
         now() - state_.last_draw >= kRedrawSeconds;
}

void Progress::step(std::int64_t batch_index, double loss, double accuracy,
                    double images_per_second) {
  if (state_.first_batch < 0) state_.first_batch = batch_index;
  state_.done_count = batch_index + 1;
  state_.loss = loss;
  state_.accuracy = accuracy;
  state_.images_per_second = images_per_second;
  if (!wants_step(batch_index)) return;
  if (options_.redraw) {
    draw();
  } else {
    print_plain_step();
  }
}

void Progress::end_epoch(const EpochMetrics& metrics) {
  const double begin = state_.epoch_start;
  state_.last_epoch_seconds = now() - begin;
  buffer_.clear();
  if (std::exchange(state_.drawn, false)) buffer_.append(kStartOfLine).append(kClearToEnd);
  const auto add = [&](const Field& text) { buffer_.append("  ").append(text.text()); };
  buffer_ += epoch_text(metrics.epoch, std::max(state_.epoch_count, metrics.epoch)).text();
  add(field("loss %.4f", metrics.train_loss));
  add(field("accuracy %.2f %%", 100.0 * metrics.train_accuracy));
  if (std::isfinite(metrics.test_loss)) add(field("test loss %.4f", metrics.test_loss));
  if (std::isfinite(metrics.test_accuracy))
    add(field("test accuracy %.2f %%", 100.0 * metrics.test_accuracy));
  add(speed(metrics.images_per_second));
  add(field("lr %.4g", metrics.learning_rate));
  add(field("%.1f s", metrics.seconds));
  if (std::isfinite(metrics.waited_seconds)) add(field("waited %.1f s", metrics.waited_seconds));
  buffer_ += '\n';
  write_buffer();
}

void Progress::line(std::string_view text) {
  if (state_.drawn) {
    std::fwrite(kStartOfLine.data(), 1, kStartOfLine.size(), stream_);
    std::fwrite(kClearToEnd.data(), 1, kClearToEnd.size(), stream_);
  }
  std::fwrite(text.data(), 1, text.size(), stream_);
  std::fputc('\n', stream_);
  std::fflush(stream_);
  if (std::exchange(state_.drawn, false)) draw();
}

// The rest of this epoch at its own pace, and every later epoch at the pace of the last whole one,
// evaluation included.
double Progress::seconds_left() const {
  const auto taken = static_cast<double>(state_.done_count - state_.first_batch);
  const double seconds_per_batch = (now() - state_.epoch_start) / taken;
  const auto batches = static_cast<double>(state_.batch_count);
  const double whole_epoch =
      state_.last_epoch_seconds > 0.0 ? state_.last_epoch_seconds : batches * seconds_per_batch;
  return (batches - static_cast<double>(state_.done_count)) * seconds_per_batch +
         static_cast<double>(state_.epoch_count - state_.epoch) * whole_epoch;
}

int Progress::columns() const {
  if (options_.column_count > 0) return options_.column_count;
  winsize size{};
  const bool known = ::ioctl(::fileno(stream_), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

void Progress::draw() {
  buffer_.assign(kStartOfLine);
  append_fields();
  buffer_ += kClearToEnd;
  write_buffer();
  state_.drawn = true;
  state_.last_draw = now();
}

// What does not fit is left out, the least wanted first; the bar takes what is left.
void Progress::append_fields() {
  const double share =
      static_cast<double>(state_.done_count) / static_cast<double>(state_.batch_count);
  // The last column stays free: a full line would wrap on some terminals.
  const int room = std::min(columns() - 1, 500);
  const std::array<Field, 6> fields = {epoch_text(state_.epoch, state_.epoch_count),
                                       field("%3.0f %%", 100.0 * share),
                                       field("loss %.4f", state_.loss),
                                       field("accuracy %.1f %%", 100.0 * state_.accuracy),
                                       time_left(seconds_left()),
                                       speed(state_.images_per_second)};
  int used = 0;
  std::size_t shown = 0;
  for (; shown < fields.size(); ++shown) {
    const int wanted = fields[shown].length + (shown == 0 ? 0 : 2);
    if (used + wanted > room) break;
    used += wanted;
  }
  if (shown == 0) {
    buffer_ += fields[0].text().substr(0, static_cast<std::size_t>(std::max(room, 0)));
    return;
  }
  buffer_ += fields[0].text();
  const int bar_cells = std::min(room - used - 2, kMaxBarCells);
  if (bar_cells >= kMinBarCells) append_bar(bar_cells);
  for (std::size_t i = 1; i < shown; ++i) buffer_.append("  ").append(fields[i].text());
}

void Progress::append_bar(int cell_count) {
  const auto filled = static_cast<int>(cell_count * state_.done_count / state_.batch_count);
  buffer_ += "  ";
  if (options_.colour) buffer_ += kBarColour;
  for (int i = 0; i < cell_count; ++i) {
    if (i == filled && options_.colour) buffer_.append(kPlain).append(kFaint);
    const bool done = i < filled;
    if (options_.unicode) {
      buffer_ += done ? "\u2501" : "\u2500";  // heavy and light horizontal lines
    } else {
      buffer_ += done ? '#' : '.';
    }
  }
  if (options_.colour) buffer_ += kPlain;
}

void Progress::print_plain_step() {
  buffer_.assign(epoch_text(state_.epoch, state_.epoch_count).text());
  const auto add = [&](const Field& text) { buffer_.append("  ").append(text.text()); };
  add(field("batch %lld/%lld", static_cast<long long>(state_.done_count),
            static_cast<long long>(state_.batch_count)));
  add(field("loss %.4f", state_.loss));
  add(field("accuracy %.1f %%", 100.0 * state_.accuracy));
  add(speed(state_.images_per_second));
  add(time_left(seconds_left()));
  buffer_ += '\n';
  write_buffer();
}

void Progress::write_buffer() {
  std::fwrite(buffer_.data(), 1, buffer_.size(), stream_);
  std::fflush(stream_);
}

}  // namespace kiln
