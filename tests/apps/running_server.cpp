#include "tests/apps/running_server.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "apps/common/twins.h"

namespace kiln::test {
namespace {

std::string text_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::string temporary_file() {
  std::string name = testing::TempDir() + "kiln-server-XXXXXX";
  const int fd = ::mkstemp(name.data());
  if (fd < 0)
    ADD_FAILURE() << "mkstemp " << name;
  else
    ::close(fd);
  return name;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

std::vector<std::string> clean_environment(const std::vector<std::string>& variables) {
  std::vector<std::string> lines = variables;
  for (std::string& line : environment())
    if (!line.starts_with("KILN_") && !line.starts_with("SAGEMAKER_"))
      lines.push_back(std::move(line));
  return lines;
}

// Of the first URL in `text`; 0 where there is none.
std::uint16_t port_in(const std::string& text) {
  const std::size_t at = text.find("http://");
  if (at == text.npos) return 0;
  return static_cast<std::uint16_t>(
      std::strtoul(text.c_str() + text.find(':', at + 7) + 1, nullptr, 10));
}

// Until `done` holds or the time is over.
template <class Done>
bool wait_until(double seconds, const Done& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace

RunningServer::RunningServer(std::vector<std::string> words,
                             const std::vector<std::string>& variables, Output output)
    : out_file_(temporary_file()), err_file_(temporary_file()) {
  words.insert(words.begin(), bin_folder() + "/kiln-serve");
  std::vector<std::string> environment = clean_environment(variables);
  const std::vector<char*> argv = pointers(words), envp = pointers(environment);
  id_ = ::fork();
  if (id_ != 0) return;
  ::dup2(::open(out_file_.c_str(), O_WRONLY | O_APPEND), 1);
  ::dup2(::open(err_file_.c_str(), O_WRONLY | O_APPEND), 2);
  if (output == Output::closed) ::close(1);
  ::execve(argv[0], argv.data(), envp.data());
  ::_exit(127);
}

RunningServer::~RunningServer() {
  if (id_ > 0) {
    ::kill(id_, SIGKILL);
    ::waitpid(id_, nullptr, 0);
  }
  ::unlink(out_file_.c_str());
  ::unlink(err_file_.c_str());
}

std::uint16_t RunningServer::wait_until_ready() {
  std::string line;
  siginfo_t ended{};
  const bool ready = wait_until(60, [&] {
    ::waitid(P_PID, static_cast<id_t>(id_), &ended, WEXITED | WNOHANG | WNOWAIT);
    line = text_of(out_file_);
    return ended.si_pid != 0 || line.find('\n') != line.npos;
  });
  const std::uint16_t port = ready ? port_in(line) : 0;
  if (port == 0) ADD_FAILURE() << "the server is not ready: " << line << text_of(err_file_);
  return port;
}

std::uint16_t RunningServer::wait_until_listening() {
  std::string line;
  wait_until(20, [&] {
    const std::string log = text_of(err_file_);
    const std::size_t at = log.find("listening on http://"), end = log.find('\n', at);
    if (at != log.npos && end != log.npos) line = log.substr(at, end - at);
    return !line.empty();
  });
  const std::uint16_t port = port_in(line);
  if (port == 0)
    ADD_FAILURE() << "the server does not say where it listens: " << text_of(err_file_);
  return port;
}

void RunningServer::signal(int number) const { ::kill(id_, number); }

ProcessResult RunningServer::finish(double timeout_seconds) {
  ProcessResult result;
  int status = 0;
  result.timed_out =
      !wait_until(timeout_seconds, [&] { return ::waitpid(id_, &status, WNOHANG) == id_; });
  result.out = text_of(out_file_);
  result.err = text_of(err_file_);
  if (result.timed_out) return result;  // the destructor kills it
  id_ = -1;
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

bool RunningServer::wait_for_log(const std::string& text, double timeout_seconds) {
  return wait_until(timeout_seconds,
                    [&] { return text_of(err_file_).find(text) != std::string::npos; });
}

long RunningServer::resident_kilobytes() const {
  std::ifstream file("/proc/" + std::to_string(id_) + "/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("VmRSS:")) return std::atol(line.c_str() + 6);
  return -1;
}

}  // namespace kiln::test
