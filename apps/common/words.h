// The words of a command line.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kiln {

// "--batch_size=4" becomes "--batch-size=4"; values, and all words behind "--", stay as they are.
std::vector<std::string> normalise_flags(int argc, char** argv);

// The flag that `word` ("--batch-sise") was probably meant to be, of `flags` ("--batch-size", ...);
// empty where none is near.
std::string nearest_of(std::span<const std::string> flags, std::string_view word);

// Throws Error (usage) for a word that `program` ("kiln train") has no use for: a flag that it does
// not have, with the nearest of `flags`, or an argument.
[[noreturn]] void refuse_word(std::string_view program, std::span<const std::string> flags,
                              const std::string& word);

}  // namespace kiln
