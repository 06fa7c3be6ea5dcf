// The rate of the tensor cores, measured.
#pragma once

namespace kiln::bench {

// FLOP/s of mma.sync m16n8k16 (bf16, f32 sums) with every operand in registers, on CUDA device 0;
// the best of ten runs. Throws std::runtime_error where CUDA reports an error.
double measured_mma_peak();

}  // namespace kiln::bench
