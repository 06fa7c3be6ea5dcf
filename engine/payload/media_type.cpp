#include "engine/payload/media_type.h"

#include <algorithm>
#include <array>

namespace kiln::payload {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t'; }

bool is_digit(char c) { return c >= '0' && c <= '9'; }

constexpr std::array<bool, 256> make_tokens() {
  std::array<bool, 256> tokens{};
  for (const unsigned char c : std::string_view(
           "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%&'*+-.^_`|~"))
    tokens[c] = true;
  return tokens;
}
constexpr std::array<bool, 256> kTokens = make_tokens();

bool is_token(char c) { return kTokens[static_cast<unsigned char>(c)]; }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = lower(c);
  return result;
}

// `wanted` is in lower case.
bool same_letters(std::string_view text, std::string_view wanted) {
  return text.size() == wanted.size() && std::equal(text.begin(), text.end(), wanted.begin(),
                                                    [](char c, char w) { return lower(c) == w; });
}

// Takes pieces from the front of a text.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool at_end() const { return rest_.empty(); }
  void skip_spaces() {
    while (!rest_.empty() && is_space(rest_.front())) rest_.remove_prefix(1);
  }
  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // Empty where there is none.
  std::string_view token() {
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), is_token);
    const std::string_view result(rest_.begin(), end);
    rest_.remove_prefix(result.size());
    return result;
  }
  std::optional<std::string> quoted() {
    std::string result;
    if (!take('"')) return {};
    while (!rest_.empty()) {
      if (take('"')) return result;
      if (take('\\') && rest_.empty()) return {};
      result += rest_.front();
      rest_.remove_prefix(1);
    }
    return {};
  }

 private:
  std::string_view rest_;
};

// 0, 1 and up to three decimals, as thousandths. Java's own client leaves the 0 out: `.2`.
std::optional<int> quality_of(std::string_view written) {
  const std::string text = (written.starts_with('.') ? "0" : "") + std::string(written);
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1') || written == ".")
    return {};
  if (text.size() > 1 && text[1] != '.') return {};
  int result = (text[0] - '0') * 1000, unit = 100;
  for (const char c : std::string_view(text).substr(std::min<std::size_t>(2, text.size()))) {
    if (!is_digit(c)) return {};
    result += (c - '0') * unit;
    unit /= 10;
  }
  if (result > 1000) return {};
  return result;
}

// Behind a `;`. False where that is no parameter.
bool read_parameter(Scanner& scanner, MediaType& type, bool& behind_quality) {
  scanner.skip_spaces();
  const std::string name = lower(scanner.token());
  if (name.empty()) return true;  // `;` alone is allowed
  if (!scanner.take('=')) return behind_quality;
  std::optional<std::string> value = std::string(scanner.token());
  if (value->empty()) value = scanner.quoted();
  if (!value) return false;
  if (behind_quality) return true;
  if (name != "q") {
    type.parameters.push_back({name, *value});
    return true;
  }
  behind_quality = true;
  const auto quality = quality_of(*value);
  type.quality = quality.value_or(0);
  return quality.has_value();
}

// The end of a list's element: a comma outside quotes, or the end of the text.
std::size_t element_end(std::string_view text) {
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') quoted = !quoted;
    if (quoted && text[i] == '\\')
      ++i;
    else if (!quoted && text[i] == ',')
      return i;
  }
  return text.size();
}

}  // namespace

bool MediaType::is(std::string_view wanted_type) const { return same_letters(type, wanted_type); }

bool MediaType::is(std::string_view wanted_type, std::string_view wanted_subtype) const {
  return same_letters(type, wanted_type) && same_letters(subtype, wanted_subtype);
}

std::string MediaType::name() const { return lower(type) + "/" + lower(subtype); }

std::optional<std::string_view> MediaType::parameter(std::string_view name) const {
  for (const Parameter& parameter : parameters)
    if (parameter.name == name) return parameter.value;
  return {};
}

std::optional<MediaType> parse_media_type(std::string_view text) {
  Scanner scanner(text);
  scanner.skip_spaces();
  MediaType result;
  result.type = scanner.token();
  if (result.type.empty() || !scanner.take('/')) return {};
  result.subtype = scanner.token();
  if (result.subtype.empty()) return {};
  bool behind_quality = false;
  for (;;) {
    scanner.skip_spaces();
    if (scanner.at_end()) return result;
    if (!scanner.take(';') || !read_parameter(scanner, result, behind_quality)) return {};
  }
}

std::vector<MediaType> parse_accept(std::string_view text) {
  std::vector<MediaType> result;
  while (!text.empty()) {
    const std::size_t end = element_end(text);
    if (auto type = parse_media_type(text.substr(0, end))) result.push_back(std::move(*type));
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return result;
}

}  // namespace kiln::payload
