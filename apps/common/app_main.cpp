#include "apps/common/app_main.h"

#include <CLI/Error.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <fcntl.h>
#include <new>
#include <string>
#include <unistd.h>

#include "engine/core/error.h"

namespace kiln {
namespace {

// A program that was started with a standard file closed (`>&-`) would give its number to the next
// file that it opens, and print into that. An empty one in its place, open the wrong way round,
// refuses what is printed or read as the closed one would.
void hold_standard_files() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) [[maybe_unused]]
      const int held = ::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int fail(std::string_view name, std::string_view what, int code) {
  std::fflush(stdout);
  const std::string line = std::string(name) + ": " + printable(what, 4096) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
  return code;
}

int guarded(std::string_view name, int argc, char** argv, int (*body)(int, char**)) {
  try {
    return body(argc, argv);
  } catch (const ExitEarly& exit) {
    return exit.code;
  } catch (const Stopped& stopped) {
    return fail(name,
                std::string("stopped by ") + (stopped.signal == SIGINT ? "Ctrl-C" : "SIGTERM") +
                    "; " + (stopped.kept.empty() ? "nothing was written" : stopped.kept),
                128 + stopped.signal);
  } catch (const Error& error) {
    return fail(name, error.what(), error.exit_code());
  } catch (const CLI::ParseError& error) {
    return fail(name, std::string(error.what()) + "; see " + std::string(name) + " --help", 2);
  } catch (const std::bad_alloc&) {
    return fail(name, "memory: not enough for this; use a smaller --batch-size or data set", 1);
  } catch (const std::exception& error) {
    return fail(name, std::string("internal error: ") + error.what(), 1);
  } catch (...) {
    return fail(name, "internal error of an unknown kind", 1);
  }
}

}  // namespace

int run_app(std::string_view name, int argc, char** argv, int (*body)(int, char**)) {
  hold_standard_files();
  const int code = guarded(name, argc, argv, body);
  errno = 0;
  const bool flushed = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  if (flushed || code != 0) return code;
  return fail(name, "standard output: cannot write: " + errno_text(errno == 0 ? EIO : errno), 1);
}

}  // namespace kiln
