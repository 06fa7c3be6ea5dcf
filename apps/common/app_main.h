// The frame of every program: run a body, turn what it throws into one line and an exit code.
//
//   0    done
//   1    bad data, a bad model file, or the system refused
//   2    a flag or an argument
//   3    training diverged
//   130  Ctrl-C
//   143  SIGTERM, where it lost the work (kiln train saves it and returns 0)
#pragma once

#include <string>
#include <string_view>

namespace kiln {

// Thrown where a program is done before it began, as behind --help.
struct ExitEarly {
  int code = 0;
};

// Thrown between two pieces of work after a signal; what was half done is taken back on the way
// out. `kept`: what is left of the work, such as "2 runs are in FILE"; nothing where it is empty.
struct Stopped {
  int signal = 0;
  std::string kept = {};
};

// Calls body(argc, argv) and returns its exit code. `name` is what a person typed: "kiln train".
// Every exception becomes the line "kiln train: thing: what is wrong; what to do" on stderr. What
// the body printed is flushed; a standard output that cannot be written to is an error. A standard
// file that is closed stays out of reach of what the body opens.
int run_app(std::string_view name, int argc, char** argv, int (*body)(int, char**));

}  // namespace kiln
