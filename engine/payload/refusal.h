// Why a body is not taken: a status of HTTP and one line for the client. The line names the thing,
// what is wrong and the mend, and never a path or an address of this machine.
#pragma once

#include <stdexcept>
#include <string>

namespace kiln::payload {

class Refusal : public std::runtime_error {
 public:
  Refusal(int status, const std::string& message) : std::runtime_error(message), status_(status) {}
  int status() const { return status_; }  // 400, 413 or 415; of a hook, 400 to 599

 private:
  int status_;
};

}  // namespace kiln::payload
