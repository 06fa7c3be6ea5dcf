// Buckets: how the gradients of a network are cut into pieces that are reduced one by one while
// backward goes on. Planned once; every rank of a run has the same plan.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace kiln {

// One parameter's gradient in the flat buffer, counted in elements, with the layer that writes it.
struct GradientPiece {
  std::string layer;
  std::int64_t first = 0, end = 0;
};

// When the buckets are reduced: as soon as they are ready, or behind backward; `automatic` asks the
// communicator.
enum class Overlap { automatic, on, off };

// A piece of the flat buffer, whole layers only.
struct Bucket {
  std::int64_t first = 0, end = 0;
  int layer_count = 0;  // layers that must have written their gradients before it is reduced

  std::int64_t count() const { return end - first; }
};

struct BucketOptions {
  std::int64_t most_buckets = 8;
  std::int64_t least_elements = std::int64_t{1} << 18;  // of all but the last; 1 MiB of floats
  std::int64_t last_elements = std::int64_t{1} << 11;   // the last one is no smaller, if it can be
  Overlap overlap = Overlap::automatic;
};

struct BucketPlan {
  std::vector<Bucket> buckets;
  // For each layer the buckets that hold a gradient of it.
  struct LayerBuckets {
    std::string layer;
    std::vector<int> buckets;
  };
  std::vector<LayerBuckets> layers;  // sorted by name
};

// `pieces` lie one behind the other, in the order in which backward writes them. The buckets cover
// `element_count` elements, padding included. The last bucket, behind which nothing is left to
// compute, is the smallest; the others are of about equal size.
BucketPlan plan_buckets(std::span<const GradientPiece> pieces, std::int64_t element_count,
                        const BucketOptions& options = {});

// The plan's entry of a layer; null for a layer without parameters.
const BucketPlan::LayerBuckets* find_layer(const BucketPlan& plan, std::string_view layer);

}  // namespace kiln
