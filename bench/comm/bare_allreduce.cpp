// MPI_Allreduce of one size, measured as kiln bench allreduce does: median of the slowest rank.
//
//   mpirun -n 2 kiln-bench-bare-allreduce 8388608 400
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mpi.h>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: kiln-bench-bare-allreduce BYTES REPEATS\n", stderr);
    return 2;
  }
  MPI_Init(&argc, &argv);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  const int count = std::atoi(argv[1]) / 4, repeats = std::atoi(argv[2]);
  std::vector<float> x(static_cast<std::size_t>(count), 0.0f);
  std::vector<double> seconds(static_cast<std::size_t>(repeats));
  for (double& s : seconds) {
    MPI_Barrier(MPI_COMM_WORLD);
    const auto begin = std::chrono::steady_clock::now();
    MPI_Allreduce(MPI_IN_PLACE, x.data(), count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  MPI_Allreduce(MPI_IN_PLACE, seconds.data(), repeats, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  std::sort(seconds.begin(), seconds.end());
  if (rank == 0) std::printf("%.1f us\n", seconds[seconds.size() / 2] * 1e6);
  MPI_Finalize();
  return 0;
}
