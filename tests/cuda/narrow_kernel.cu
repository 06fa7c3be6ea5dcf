// A fixture that tools/check_kernel_resources.py --wide must refuse: four neighbours, one by one.
__global__ void narrow_kernel(const float* from, float* to) {
  const int first = (blockIdx.x * blockDim.x + threadIdx.x) * 4;
  for (int i = first; i < first + 4; ++i) to[i] = from[i] + 1;
}
