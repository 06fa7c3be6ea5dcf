// The networks that kiln knows by name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/spec.h"

namespace kiln {

// The workshop's CIFAR-10 network, 62,006 parameters:
// conv 3->6 5x5, relu, pool 2; conv 6->16 5x5, relu, pool 2; linear 400-120-84-classes.
ModelSpec lenet(std::int64_t class_count = 10);

// The workshop's reference MNIST network, 21,840 parameters, with dropout and log-softmax.
ModelSpec mnist(std::int64_t class_count = 10);

// ResNet-18 for 32x32 pictures (He et al., "Deep residual learning for image recognition", 2015, in
// its CIFAR form: 3x3 stem, no first pooling), batch normalisation, projected shortcuts.
// 11,173,962 parameters for ten classes.
ModelSpec resnet18(std::int64_t class_count = 10);

// ResNet-9 for 32x32 pictures (D. Page, "How to train your ResNet", 2018, the network of the
// DAWNBench entries): 6,573,120 parameters for ten classes.
ModelSpec resnet9(std::int64_t class_count = 10);

// The network of airbench94_muon (K. Jordan, "94% on CIFAR-10 in 3.29 seconds", 2024): whitening,
// three blocks of two convolutions, GELU, pooling before batch normalisation. `widths` of its
// blocks; narrower ones are for tests.
struct SpeedrunWidths {
  std::int64_t block1 = 64, block2 = 256, block3 = 256;
};
ModelSpec speedrun94(std::int64_t class_count = 10, const SpeedrunWidths& widths = {});

std::vector<std::string> model_names();
// The same as text: "lenet, mnist, ...".
std::string known_models();

// A network by name, or by the path of a spec file. Throws Error (usage) naming the known ones.
// `class_count` is the data set's; a spec file brings its own and must agree with it when both are
// given (0: not given).
ModelSpec find_model(std::string_view name_or_path, std::int64_t class_count);

}  // namespace kiln
