// What a call throws, as text.
#pragma once

#include <string>

#include "engine/core/error.h"

namespace kiln::test {

// The words of the Error that function() throws; "no error" where it throws none.
template <class Function>
std::string error_of(const Function& function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace kiln::test
