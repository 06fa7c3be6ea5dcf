// Calls into code of others.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>

namespace kiln::serve {

// What `call` returns. What it throws is a std::exception, whatever it was.
template <class Call>
decltype(auto) call_hook(const char* what, const Call& call) {
  try {
    return call();
  } catch (const std::exception&) {
    throw;
  } catch (...) {
    throw std::runtime_error(std::string(what) + " threw what is no std::exception");
  }
}

}  // namespace kiln::serve
