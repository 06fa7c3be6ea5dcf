#include "tests/apps/process.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include "engine/core/file.h"

namespace kiln::test {
namespace {

struct Pipe {
  UniqueFd read, write;
};

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) ADD_FAILURE() << "pipe2: errno " << errno;
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

[[noreturn]] void become(const std::vector<std::string>& words, int out, int err) {
  ::setpgid(0, 0);
  const int null = ::open("/dev/null", O_RDONLY);
  ::dup2(null, 0);
  ::dup2(out, 1);
  ::dup2(err, 2);
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

// Reads both pipes to their ends; false when the deadline passed before.
bool drain(int out, int err, ProcessResult& result, double timeout_seconds) {
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_seconds);
  pollfd files[] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
  std::string* texts[] = {&result.out, &result.err};
  while (files[0].fd >= 0 || files[1].fd >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    if (::poll(files, 2, static_cast<int>(left.count())) < 0 && errno != EINTR) return false;
    for (int i = 0; i < 2; ++i) {
      if (files[i].fd < 0 || files[i].revents == 0) continue;
      char buffer[4096];
      const ssize_t count = ::read(files[i].fd, buffer, sizeof buffer);
      if (count > 0)
        texts[i]->append(buffer, static_cast<std::size_t>(count));
      else
        files[i].fd = -1;
    }
  }
  return true;
}

}  // namespace

std::string bin_folder() {
  const char* folder = std::getenv("KILN_BIN_DIR");
  if (folder == nullptr) ADD_FAILURE() << "KILN_BIN_DIR is not set";
  return folder == nullptr ? "." : folder;
}

namespace {

// A program that was started, with the ends of its pipes that are read.
struct Child {
  pid_t id = -1;
  UniqueFd out, err;
};

Child start(const std::vector<std::string>& words) {
  std::vector<std::string> command = words;
  if (command[0].find('/') == std::string::npos) command[0] = bin_folder() + "/" + command[0];
  Pipe out = make_pipe(), err = make_pipe();
  const pid_t child = ::fork();
  if (child == 0) become(command, out.write.get(), err.write.get());
  return {child, std::move(out.read), std::move(err.read)};
}

ProcessResult finish(const Child& child, double timeout_seconds) {
  ProcessResult result;
  result.timed_out = !drain(child.out.get(), child.err.get(), result, timeout_seconds);
  if (result.timed_out) ::kill(-child.id, SIGKILL);
  int status = 0;
  while (::waitpid(child.id, &status, 0) < 0 && errno == EINTR) {
  }
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& words, double timeout_seconds) {
  return finish(start(words), timeout_seconds);
}

ProcessResult run_and_signal(const std::vector<std::string>& words, int signal,
                             const std::function<bool(int)>& when, double timeout_seconds) {
  const Child child = start(words);
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_seconds);
  siginfo_t ended{};
  while (!when(child.id) && std::chrono::steady_clock::now() < deadline) {
    ::waitid(P_PID, static_cast<id_t>(child.id), &ended, WEXITED | WNOHANG | WNOWAIT);
    if (ended.si_pid != 0) break;
    ::usleep(200);
  }
  EXPECT_EQ(ended.si_pid, 0) << "the program ended before it was sent a signal";
  ::kill(child.id, signal);
  return finish(child, timeout_seconds);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

}  // namespace kiln::test
