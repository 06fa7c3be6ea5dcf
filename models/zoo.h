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

std::vector<std::string> model_names();

// A network by name, or by the path of a spec file. Throws Error (usage) naming the known ones.
// `class_count` is the data set's; a spec file brings its own and must agree with it when both are
// given (0: not given).
ModelSpec find_model(std::string_view name_or_path, std::int64_t class_count);

}  // namespace kiln
