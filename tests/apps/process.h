// Runs one of kiln's programs to its end.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace kiln::test {

struct ProcessResult {
  int code = -1;  // the exit code, or 128 + the signal that ended it
  bool timed_out = false;
  std::string out, err;
};

// The folder of the programs of this build. Fails the test where KILN_BIN_DIR is not set.
std::string bin_folder();

// Runs `words[0]` (a program of bin_folder(), or a path with a slash) with nothing on its standard
// input. It is killed, with all that it started, after `timeout_seconds`.
ProcessResult run_process(const std::vector<std::string>& words, double timeout_seconds = 120);

// The same for a program that is sent `signal` as soon as when(its process id) holds; fails the
// test where it ends before.
ProcessResult run_and_signal(const std::vector<std::string>& words, int signal,
                             const std::function<bool(int)>& when, double timeout_seconds = 120);

// Lines of a text, without their ends.
std::vector<std::string> lines_of(const std::string& text);

}  // namespace kiln::test
