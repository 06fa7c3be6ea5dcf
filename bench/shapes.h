// Problems that the benchmarks run on: LeNet, ResNet-18 (CIFAR form) and large 3x3 layers.
#pragma once

#include <string>
#include <vector>

#include "kernels/include/conv2d_shape.h"
#include "kernels/include/pool2d_shape.h"

namespace kiln::bench {

template <class S>
struct Named {
  std::string name;
  S shape;
};

struct LinearShape {
  std::int64_t n, in, out;
};

// 5x5 convolutions of LeNet on 32x32x3 pictures.
inline std::vector<Named<Conv2dShape>> lenet_convs() {
  std::vector<Named<Conv2dShape>> all;
  for (const std::int64_t n : {4, 64, 512}) {
    const std::string batch = "/n" + std::to_string(n);
    all.push_back(
        {"lenet_conv1" + batch, {.n = n, .h = 32, .w = 32, .c = 3, .k = 6, .r = 5, .s = 5}});
    all.push_back(
        {"lenet_conv2" + batch, {.n = n, .h = 14, .w = 14, .c = 6, .k = 16, .r = 5, .s = 5}});
  }
  return all;
}

// The different convolutions of ResNet-18 in its CIFAR form; `n` pictures.
inline std::vector<Named<Conv2dShape>> resnet18_convs(std::int64_t n = 64) {
  const auto conv = [n](std::int64_t size, std::int64_t c, std::int64_t k, std::int64_t r,
                        std::int64_t stride) {
    return Conv2dShape{.n = n,
                       .h = size,
                       .w = size,
                       .c = c,
                       .k = k,
                       .r = r,
                       .s = r,
                       .stride_h = stride,
                       .stride_w = stride,
                       .pad_h = r / 2,
                       .pad_w = r / 2};
  };
  std::vector<Named<Conv2dShape>> all{{"resnet18_stem", conv(32, 3, 64, 3, 1)},
                                      {"resnet18_64", conv(32, 64, 64, 3, 1)}};
  std::int64_t size = 32;
  for (const std::int64_t c : {64, 128, 256}) {
    const std::string name = "resnet18_" + std::to_string(2 * c);
    all.push_back({name + "_down", conv(size, c, 2 * c, 3, 2)});
    all.push_back({name + "_shortcut", conv(size, c, 2 * c, 1, 2)});
    size /= 2;
    all.push_back({name, conv(size, 2 * c, 2 * c, 3, 1)});
  }
  for (auto& entry : all) entry.name += "/n" + std::to_string(n);
  return all;
}

// 3x3 layers of a network built for speed on CIFAR-10, padding 1.
inline std::vector<Named<Conv2dShape>> large_convs() {
  const auto conv = [](std::int64_t n, std::int64_t size, std::int64_t c, std::int64_t k) {
    return Conv2dShape{
        .n = n, .h = size, .w = size, .c = c, .k = k, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1};
  };
  return {{"conv_24_64_at31/n512", conv(512, 31, 24, 64)},
          {"conv_64_64_at15/n512", conv(512, 15, 64, 64)},
          {"conv_64_256_at15/n512", conv(512, 15, 64, 256)},
          {"conv_256_256_at15/n256", conv(256, 15, 256, 256)},
          {"conv_256_256_at7/n512", conv(512, 7, 256, 256)}};
}

inline std::vector<Named<Conv2dShape>> all_convs() {
  std::vector<Named<Conv2dShape>> all = lenet_convs();
  for (const auto& more : {resnet18_convs(), large_convs()})
    all.insert(all.end(), more.begin(), more.end());
  return all;
}

// Fully connected layers of LeNet and the classifier of ResNet-18.
inline std::vector<Named<LinearShape>> linears() {
  std::vector<Named<LinearShape>> all;
  for (const std::int64_t n : {4, 64, 512}) {
    const std::string batch = "/n" + std::to_string(n);
    all.push_back({"lenet_fc1" + batch, {n, 400, 120}});
    all.push_back({"lenet_fc2" + batch, {n, 120, 84}});
    all.push_back({"lenet_fc3" + batch, {n, 84, 10}});
  }
  all.push_back({"resnet18_fc/n64", {64, 512, 10}});
  return all;
}

// Activations that pointwise ops and normalisations see, [N,H,W,C]. The last one stands for the
// speed-run network: larger than any cache.
inline std::vector<Named<Shape>> activations() {
  return {{"lenet_conv1/n64", {64, 28, 28, 6}},    {"lenet_conv1/n512", {512, 28, 28, 6}},
          {"lenet_conv2/n64", {64, 10, 10, 16}},   {"resnet18_64/n64", {64, 32, 32, 64}},
          {"resnet18_128/n64", {64, 16, 16, 128}}, {"resnet18_256/n64", {64, 8, 8, 256}},
          {"resnet18_512/n64", {64, 4, 4, 512}},   {"pointwise_64_at31/n256", {256, 31, 31, 64}}};
}

inline std::vector<Named<Pool2dShape>> max_poolings() {
  return {{"lenet_pool1/n64", {.n = 64, .h = 28, .w = 28, .c = 6}},
          {"lenet_pool1/n512", {.n = 512, .h = 28, .w = 28, .c = 6}},
          {"lenet_pool2/n64", {.n = 64, .h = 10, .w = 10, .c = 16}},
          {"lenet_pool2/n512", {.n = 512, .h = 10, .w = 10, .c = 16}},
          {"pool_64_at31/n256", {.n = 256, .h = 31, .w = 31, .c = 64}},
          {"pool_3x3_64_at32/n64",
           {.n = 64, .h = 32, .w = 32, .c = 64, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1}}};
}

// Global average pooling of ResNet-18, and a 2x2 one.
inline std::vector<Named<Pool2dShape>> average_poolings() {
  return {{"resnet18_global/n64", {.n = 64, .h = 4, .w = 4, .c = 512, .r = 4, .s = 4}},
          {"pool_64_at31/n256", {.n = 256, .h = 31, .w = 31, .c = 64}}};
}

}  // namespace kiln::bench
