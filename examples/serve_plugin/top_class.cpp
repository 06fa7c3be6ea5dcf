// A plug-in for kiln serve: pictures may come as hexadecimal digits, and whoever accepts text/plain
// gets the name of the likeliest class and no numbers. Everything else stays as it is.
//
//   Content-Type: application/x-rgb-hex    RRGGBB for each pixel, row by row; white space between
//                                          digits is read over
//   Accept: text/plain                     a line for each picture
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "engine/serve/plugin_api.h"

namespace {

int32_t fail(KilnError* error, int32_t status, const char* words) {
  std::snprintf(error->text, sizeof error->text, "%s", words);
  return status;
}

// -1 for what is no digit.
int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// A model of other pictures is refused when it is loaded.
int32_t model_fn(KilnModel* model, KilnError* error) noexcept {
  return model->channels == 3 ? 0 : fail(error, 500, "the model's pictures have no three channels");
}

int32_t input_fn(const KilnModel* model, const KilnRequest* request, KilnPictures* pictures,
                 KilnError* error) noexcept {
  if (std::strcmp(request->content_type, "application/x-rgb-hex") != 0) return KILN_NOT_MINE;
  const char* const body = static_cast<const char*>(request->body);
  const char* const end = body + request->body_bytes;
  const auto digits =
      static_cast<uint64_t>(std::count_if(body, end, [](char c) { return !is_space(c); }));
  const uint64_t picture = uint64_t{2} * model->height * model->width * model->channels;
  if (digits == 0 || digits % picture != 0)
    return fail(error, 400, "the digits are not those of whole pictures; send RRGGBB a pixel");
  uint8_t* pixel = pictures->pixels(pictures, digits / picture);
  if (pixel == nullptr) return fail(error, 413, "too many pictures in one request");
  bool second = false;
  for (const char* at = body; at != end; ++at) {
    if (is_space(*at)) continue;
    const int digit = digit_of(*at);
    if (digit < 0) return fail(error, 400, "a digit is none of 0-9, a-f and A-F");
    *pixel = static_cast<uint8_t>(*pixel * 16 + digit);
    if (second) ++pixel;
    second = !second;
  }
  return 0;
}

int32_t output_fn(const KilnModel* model, const KilnOutputs* outputs, KilnReply* reply,
                  KilnError* error) noexcept {
  if (std::strcmp(outputs->accept, "text/plain") != 0) return KILN_NOT_MINE;
  int32_t failed = reply->content_type(reply, "text/plain; charset=utf-8");
  for (uint64_t row = 0; row < outputs->rows; ++row) {
    const float* values = outputs->values + row * outputs->columns;
    const char* name = model->classes[std::max_element(values, values + outputs->columns) - values];
    failed |= reply->write(reply, name, std::strlen(name)) | reply->write(reply, "\n", 1);
  }
  return failed == 0 ? 0 : fail(error, 500, "the reply is too large");
}

const KilnHooks kTable = {.version = KILN_PLUGIN_VERSION,
                          .size = sizeof(KilnHooks),
                          .model_fn = model_fn,
                          .model_free = nullptr,
                          .input_fn = input_fn,
                          .predict_fn = nullptr,
                          .output_fn = output_fn,
                          .transform_fn = nullptr};

}  // namespace

const KilnHooks* kiln_hooks(void) { return &kTable; }
