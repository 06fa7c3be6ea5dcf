// What the checker must refuse: a program that serves through the training engine.
#include <cstdio>

#include "engine/train/model_io.h"
#include "engine/train/network.h"
#include "engine/train/optimizer.h"
#include "kernels/include/conv2d_provider.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  kiln::Log log;
  kiln::ThreadPool pool(1);
  kiln::Context context({}, pool, log);
  auto providers = kiln::make_cpu_conv2d_providers(log);
  const auto model = kiln::load_model(argv[1], kiln::DType::f32, {});
  kiln::Network network(model->spec, model->parameters, context, providers, {.batch_size = 1});
  kiln::Optimizer optimizer({}, model->parameters);
  network.forward(context);
  network.backward(context);
  optimizer.step(context, 0.1);
  std::printf("%lld\n", static_cast<long long>(network.logits().element_count()));
  return 0;
}
