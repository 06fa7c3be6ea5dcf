#include "engine/comm/buckets.h"

#include <algorithm>
#include <map>
#include <set>

#include "engine/core/check.h"

namespace kiln {
namespace {

// Where the buckets begin, from the back to the front: a bucket takes layers until it has the
// wanted size and is no smaller than the last one. A layer is not cut: all of it is written
// together, and a bucket that held its first parameter would wait for it.
std::vector<std::int64_t> cuts_from_behind(std::span<const GradientPiece> pieces,
                                           std::int64_t element_count,
                                           const BucketOptions& options) {
  const std::int64_t wanted = std::max(
      options.least_elements, element_count / std::max<std::int64_t>(1, options.most_buckets));
  std::vector<std::int64_t> cuts;
  std::int64_t end = element_count, last = 0;
  for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
    if (const auto before = std::next(piece);
        before != pieces.rend() && before->layer == piece->layer)
      continue;
    const std::int64_t size = end - piece->first;
    const bool is_last = cuts.empty();
    if (size < (is_last ? std::min(options.last_elements, wanted) : std::max(wanted, last)))
      continue;
    if (is_last) last = size;
    cuts.push_back(end = piece->first);
  }
  // What is left in front, too small for a bucket, joins the one behind it.
  if (end > 0 && !cuts.empty() && (end < last || (cuts.size() > 1 && end < wanted / 2)))
    cuts.pop_back();
  if (cuts.empty() || cuts.back() > 0) cuts.push_back(0);
  std::ranges::reverse(cuts);
  return cuts;
}

}  // namespace

BucketPlan plan_buckets(std::span<const GradientPiece> pieces, std::int64_t element_count,
                        const BucketOptions& options) {
  BucketPlan plan;
  if (element_count == 0) return plan;
  const std::vector<std::int64_t> cuts = cuts_from_behind(pieces, element_count, options);
  for (std::size_t i = 0; i < cuts.size(); ++i)
    plan.buckets.push_back(
        {.first = cuts[i], .end = i + 1 < cuts.size() ? cuts[i + 1] : element_count});
  std::map<std::string, std::set<int>> of_layer;
  std::size_t bucket = 0;
  for (const GradientPiece& piece : pieces) {
    while (piece.first >= plan.buckets[bucket].end) ++bucket;
    KILN_CHECK(piece.end <= plan.buckets[bucket].end);
    of_layer[piece.layer].insert(static_cast<int>(bucket));
  }
  for (const auto& [layer, buckets] : of_layer) {
    plan.layers.push_back({layer, {buckets.begin(), buckets.end()}});
    for (const int b : buckets) ++plan.buckets[static_cast<std::size_t>(b)].layer_count;
  }
  return plan;
}

const BucketPlan::LayerBuckets* find_layer(const BucketPlan& plan, std::string_view layer) {
  const auto at =
      std::ranges::lower_bound(plan.layers, layer, {}, &BucketPlan::LayerBuckets::layer);
  return at != plan.layers.end() && at->layer == layer ? &*at : nullptr;
}

}  // namespace kiln
