// A kiln-serve that runs: started with a port that the system chooses, awaited until it is ready,
// killed at the end where the test did not end it.
#pragma once

#include <cstdint>
#include <string>
#include <sys/types.h>
#include <vector>

#include "tests/apps/process.h"

namespace kiln::test {

class RunningServer {
 public:
  enum class Output { kept, closed };

  // Of the variables KILN_... and SAGEMAKER_... the server sees these only. Without a standard
  // output nobody reads its ready line.
  explicit RunningServer(std::vector<std::string> words,
                         const std::vector<std::string>& variables = {},
                         Output output = Output::kept);
  RunningServer(const RunningServer&) = delete;
  RunningServer& operator=(const RunningServer&) = delete;
  ~RunningServer();

  // The port of the ready line; 0, and a failed test, where the server ends or stays silent.
  std::uint16_t wait_until_ready();
  // The port of the log's line "listening on", which comes before the models are loaded; 0, and a
  // failed test, where it does not come.
  std::uint16_t wait_until_listening();
  void signal(int number) const;
  // Waits for its end. `err` is what the log holds until now.
  ProcessResult finish(double timeout_seconds = 60);
  // What it has logged so far; waits until `text` is there. False when it does not come.
  bool wait_for_log(const std::string& text, double timeout_seconds = 20);
  pid_t id() const { return id_; }
  long resident_kilobytes() const;

 private:
  pid_t id_ = -1;
  std::string out_file_, err_file_;
};

}  // namespace kiln::test
