// Names of models, as they stand in addresses and folders.
#pragma once

#include <string_view>

namespace kiln::payload {

// ^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$
constexpr bool valid_model_name(std::string_view name) {
  constexpr auto is_letter_or_digit = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
  };
  if (name.empty() || name.size() > 64 || !is_letter_or_digit(name.front())) return false;
  for (const char c : name)
    if (!is_letter_or_digit(c) && c != '.' && c != '_' && c != '-') return false;
  return true;
}

}  // namespace kiln::payload
