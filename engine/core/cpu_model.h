// The processor's name.
#pragma once

#include <string>

namespace kiln {

// As the system tells it, or its architecture.
std::string cpu_model();

}  // namespace kiln
