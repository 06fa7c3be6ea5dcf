#include "engine/train/test_views.h"

#include <algorithm>
#include <string>

#include "engine/core/error.h"
#include "engine/core/transfer.h"
#include "engine/data/augment.h"

namespace kiln {
namespace {

constexpr Augmentation kShift{.crop_padding = 1, .padding = Augmentation::Padding::reflect};

constexpr TestView kNone[] = {{{}, 1.0f}};
constexpr TestView kMirror[] = {{{}, 0.5f}, {{.flip = true}, 0.5f}};
constexpr TestView kTranslate[] = {{{}, 0.25f},
                                   {{.flip = true}, 0.25f},
                                   {{.row = -1, .column = -1}, 0.125f},
                                   {{.row = -1, .column = -1, .flip = true}, 0.125f},
                                   {{.row = 1, .column = 1}, 0.125f},
                                   {{.row = 1, .column = 1, .flip = true}, 0.125f}};

bool is_plain(const AugmentDraw& draw) { return draw.row == 0 && draw.column == 0 && !draw.flip; }

}  // namespace

std::string_view name_of(TestViews views) {
  switch (views) {
    case TestViews::mirror:
      return "mirror";
    case TestViews::translate:
      return "translate";
    default:
      return "none";
  }
}

TestViews parse_test_views(std::string_view name) {
  for (const TestViews views : {TestViews::none, TestViews::mirror, TestViews::translate})
    if (name_of(views) == name) return views;
  throw Error(ErrorKind::usage, "--tta " + printable(name), "is no known set of views",
              "use none, mirror or translate");
}

std::span<const TestView> views_of(TestViews views) {
  switch (views) {
    case TestViews::mirror:
      return kMirror;
    case TestViews::translate:
      return kTranslate;
    default:
      return kNone;
  }
}

ViewForward::ViewForward(TestViews views, const ModelSpec& spec, std::int64_t most_pictures)
    : views_(views),
      extents_{.height = static_cast<int>(spec.height),
               .width = static_cast<int>(spec.width),
               .channels = static_cast<int>(spec.channels)} {
  if (views == TestViews::none) return;
  if (views == TestViews::translate && std::min(spec.height, spec.width) < 2)
    throw Error(ErrorKind::usage, "--tta translate",
                "shifts a picture by a pixel, and those of " + spec.name + " are " +
                    std::to_string(spec.height) + "x" + std::to_string(spec.width),
                "use --tta mirror");
  pictures_.resize(
      static_cast<std::size_t>(most_pictures * spec.height * spec.width * spec.channels));
  mean_.resize(static_cast<std::size_t>(most_pictures * spec.class_count));
}

std::span<const std::uint8_t> ViewForward::seen(Context& c, const AugmentDraw& draw,
                                                std::span<const std::uint8_t> images) {
  if (is_plain(draw)) return images;
  const std::int64_t size = std::int64_t{extents_.height} * extents_.width * extents_.channels;
  c.pool().parallel_for(static_cast<std::int64_t>(images.size()) / size, [&](std::int64_t i) {
    apply_augmentation(kShift, extents_, draw, images.data() + i * size,
                       pictures_.data() + i * size);
  });
  return std::span(pictures_).first(images.size());
}

void ViewForward::run(Context& c, Network& network, std::span<const std::uint8_t> images,
                      std::span<const std::int32_t> labels, const Normalisation& normalisation) {
  const auto forward = [&](std::span<const std::uint8_t> pictures) {
    network.set_input(c, pictures, labels, normalisation);
    network.forward(c);
  };
  if (views_ == TestViews::none) return forward(images);
  const Tensor logits = network.logits();
  const std::span<float> mean =
      std::span(mean_).first(static_cast<std::size_t>(logits.element_count()));
  std::ranges::fill(mean, 0.0f);
  for (const TestView& view : views_of(views_)) {
    forward(seen(c, view.draw, images));
    const std::vector<float> scores = elements_of<float>(logits);
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += view.weight * scores[i];
  }
  set_elements<float>(logits, mean);
}

}  // namespace kiln
