// What a result was measured on: for reports and logs.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace kiln {

// "0.1.0".
std::string version();
// The instruction set that the CPU kernels use: "avx512".
std::string instruction_set();

// Name and value in the order in which a person reads them: kiln, processor, CPUs, threads,
// instruction set, compiler, build type, system.
std::vector<std::pair<std::string, std::string>> environment_info(int thread_count);

}  // namespace kiln
