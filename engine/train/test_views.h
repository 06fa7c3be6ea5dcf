// Evaluation under several views of each picture (test-time augmentation): the class scores are the
// weighted mean of what the network says to them.
//
//   none       the picture
//   mirror     1/2 (picture + mirror image)
//   translate  1/2 of mirror, and 1/8 each of the windows at (-1, -1) and (+1, +1) of the picture
//              reflected at its borders, and of the mirror images of both: six views
//
// Source: K. Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024 (arXiv 2404.00498).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/core/augmentation.h"
#include "engine/train/network.h"

namespace kiln {

enum class TestViews { none, mirror, translate };

std::string_view name_of(TestViews views);
// Throws Error (usage) for another name.
TestViews parse_test_views(std::string_view name);

struct TestView {
  AugmentDraw draw;  // window first, then the mirror
  float weight;      // a power of two; those of all views sum to 1
};
std::span<const TestView> views_of(TestViews views);

// Runs a network forward on all views of a batch. Its memory is made once, for batches of up to
// `most_pictures` of the network's input. Throws Error (usage) where a shifted window does not fit
// pictures of one row or column.
class ViewForward {
 public:
  ViewForward(TestViews views, const ModelSpec& spec, std::int64_t most_pictures);

  // As network.set_input and network.forward: network.logits() then holds the weighted mean over
  // the views, summed in f32 in the order of views_of. What a network with a log-softmax at its end
  // averages are log-probabilities.
  void run(Context& c, Network& network, std::span<const std::uint8_t> images,
           std::span<const std::int32_t> labels, const Normalisation& normalisation);

 private:
  std::span<const std::uint8_t> seen(Context& c, const AugmentDraw& draw,
                                     std::span<const std::uint8_t> images);

  TestViews views_;
  ImageExtents extents_;
  std::vector<std::uint8_t> pictures_;
  std::vector<float> mean_;
};

}  // namespace kiln
