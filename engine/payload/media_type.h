// Media types as `Content-Type` and `Accept` write them (RFC 9110, sections 8.3 and 12.5.1).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::payload {

// Views of the text that it was read from.
struct MediaType {
  struct Parameter {
    std::string name, value;  // the name in lower case, the value without its quotes
  };

  std::string_view type, subtype;  // as they were written, in any case of letters; `*` for any
  std::vector<Parameter> parameters;
  int quality = 1000;  // thousandths of `q`; it and what follows it are no parameters

  // Asked in lower case.
  bool is(std::string_view wanted_type) const;
  bool is(std::string_view wanted_type, std::string_view wanted_subtype) const;
  // "type/subtype" in lower case.
  std::string name() const;
  // The value of the first parameter of this name (in lower case).
  std::optional<std::string_view> parameter(std::string_view name) const;
};

// nullopt where the text is no media type.
std::optional<MediaType> parse_media_type(std::string_view text);

// The elements of a list in their order; those that are no media types are left out.
std::vector<MediaType> parse_accept(std::string_view text);

}  // namespace kiln::payload
