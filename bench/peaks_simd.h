#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

KILN_DECLARE_ISA(void multiply_adds(std::int64_t rounds, float* sink); int multiply_add_lanes();
                 void read_memory(const float* from, std::int64_t count, float* sink);
                 void write_memory(float* to, std::int64_t count);)
