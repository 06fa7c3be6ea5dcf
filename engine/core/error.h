// One exception type for everything that can go wrong outside a broken invariant.
//
// A message is one line with three parts: the thing, what is wrong with it, and the mend. Programs
// print `what()` after their own name and exit with `exit_code()`.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace kiln {

enum class ErrorKind {
  usage,        // a flag or an argument: exit code 2, as getopt and argparse do
  input,        // data, a model file, an image: exit code 1
  io,           // the operating system refused: exit code 1
  unsupported,  // a device, shape or type that no backend of this build takes: exit code 1
  diverged,     // training produced NaN or infinity: exit code 3
};

class Error : public std::runtime_error {
 public:
  // `thing`: what the message is about, such as a path or a flag. `wrong`: what is wrong with it.
  // `mend`: what a person can do; may be empty where nothing can be advised.
  Error(ErrorKind kind, std::string_view thing, std::string_view wrong, std::string_view mend = {});

  ErrorKind kind() const { return kind_; }
  int exit_code() const;

 private:
  ErrorKind kind_;
};

// Text of `errno`, such as "No space left on device"; thread-safe.
std::string errno_text(int error_number);

// Escapes control characters and cuts at `limit` bytes, so that bytes out of a hostile file never
// reach a terminal.
std::string printable(std::string_view bytes, std::size_t limit = 120);

}  // namespace kiln
