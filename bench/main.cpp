// kiln-bench-kernels: every op on every shape of bench/shapes.h.
//   kiln-bench-kernels --benchmark_filter=maxpool --benchmark_out=out.json
#include "bench/harness.h"

int main(int argc, char** argv) { return kiln::bench::run_benchmarks(argc, argv); }
