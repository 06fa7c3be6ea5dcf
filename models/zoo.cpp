#include "models/zoo.h"

#include "engine/core/error.h"
#include "engine/core/file.h"

namespace kiln {
namespace {

LayerSpec conv(std::string name, std::int64_t out_channels, std::int64_t kernel,
               std::int64_t stride = 1, std::int64_t padding = 0, bool bias = true) {
  return {.kind = LayerKind::conv2d,
          .name = std::move(name),
          .out_features = out_channels,
          .kernel_h = kernel,
          .kernel_w = kernel,
          .stride_h = stride,
          .stride_w = stride,
          .padding_h = padding,
          .padding_w = padding,
          .bias = bias};
}

LayerSpec linear(std::string name, std::int64_t out_features) {
  return {.kind = LayerKind::linear, .name = std::move(name), .out_features = out_features};
}

LayerSpec plain(LayerKind kind, std::string name) {
  return {.kind = kind, .name = std::move(name)};
}

LayerSpec pool(LayerKind kind, std::string name, std::int64_t window) {
  return {.kind = kind,
          .name = std::move(name),
          .kernel_h = window,
          .kernel_w = window,
          .stride_h = window,
          .stride_w = window};
}

LayerSpec dropout(std::string name, bool channel) {
  return {.kind = LayerKind::dropout, .name = std::move(name), .channel = channel};
}

// relu(bn(conv(relu(bn(conv(x))))) + shortcut(x)); the shortcut is projected where shapes change.
LayerSpec basic_block(const std::string& name, std::int64_t in_channels, std::int64_t channels,
                      std::int64_t stride) {
  LayerSpec block = plain(LayerKind::residual, name);
  block.body = {
      conv(name + ".conv1", channels, 3, stride, 1, false),
      plain(LayerKind::batch_norm, name + ".bn1"), plain(LayerKind::relu, name + ".relu1"),
      conv(name + ".conv2", channels, 3, 1, 1, false), plain(LayerKind::batch_norm, name + ".bn2")};
  if (stride != 1 || in_channels != channels)
    block.shortcut = {conv(name + ".shortcut.0", channels, 1, stride, 0, false),
                      plain(LayerKind::batch_norm, name + ".shortcut.1")};
  return block;
}

// relu(bn(conv(x))), a 3x3 convolution that keeps the extents.
void add_conv_bn_relu(std::vector<LayerSpec>& layers, const std::string& name,
                      std::int64_t channels) {
  layers.push_back(conv(name + ".conv", channels, 3, 1, 1, false));
  layers.push_back(plain(LayerKind::batch_norm, name + ".bn"));
  layers.push_back(plain(LayerKind::relu, name + ".relu"));
}

// x + body(x): what body ends in and x are both positive, so the residual's relu changes nothing.
LayerSpec positive_residual(const std::string& name, std::int64_t channels) {
  LayerSpec block = plain(LayerKind::residual, name);
  for (const char* half : {".res1", ".res2"}) add_conv_bn_relu(block.body, name + half, channels);
  return block;
}

// Pooling comes before normalisation, whose weight stays 1.
void add_speedrun_half(std::vector<LayerSpec>& layers, const std::string& name, int half,
                       std::int64_t channels) {
  const std::string number = std::to_string(half);
  layers.push_back(conv(name + ".conv" + number, channels, 3, 1, 1, false));
  layers.back().initialisation = Initialisation::dirac;
  if (half == 1) layers.push_back(pool(LayerKind::max_pool, name + ".pool", 2));
  layers.push_back({.kind = LayerKind::batch_norm,
                    .name = name + ".norm" + number,
                    .momentum = 0.4,
                    .epsilon = 1e-12,
                    .scale = false});
  layers.push_back(plain(LayerKind::gelu, name + ".gelu" + number));
}

}  // namespace

ModelSpec lenet(std::int64_t class_count) {
  return {.name = "lenet",
          .class_count = class_count,
          .layers = {conv("conv1", 6, 5), plain(LayerKind::relu, "relu1"),
                     pool(LayerKind::max_pool, "pool1", 2), conv("conv2", 16, 5),
                     plain(LayerKind::relu, "relu2"), pool(LayerKind::max_pool, "pool2", 2),
                     plain(LayerKind::flatten, "flatten"), linear("fc1", 120),
                     plain(LayerKind::relu, "relu3"), linear("fc2", 84),
                     plain(LayerKind::relu, "relu4"), linear("fc3", class_count)}};
}

ModelSpec mnist(std::int64_t class_count) {
  return {.name = "mnist",
          .height = 28,
          .width = 28,
          .channels = 1,
          .class_count = class_count,
          .layers = {conv("conv1", 10, 5), pool(LayerKind::max_pool, "pool1", 2),
                     plain(LayerKind::relu, "relu1"), conv("conv2", 20, 5),
                     dropout("conv2_drop", true), pool(LayerKind::max_pool, "pool2", 2),
                     plain(LayerKind::relu, "relu2"), plain(LayerKind::flatten, "flatten"),
                     linear("fc1", 50), plain(LayerKind::relu, "relu3"), dropout("drop", false),
                     linear("fc2", class_count), plain(LayerKind::log_softmax, "log_softmax")}};
}

ModelSpec resnet18(std::int64_t class_count) {
  ModelSpec spec{.name = "resnet18",
                 .class_count = class_count,
                 .layers = {conv("conv1", 64, 3, 1, 1, false), plain(LayerKind::batch_norm, "bn1"),
                            plain(LayerKind::relu, "relu")}};
  std::int64_t channels = 64;
  for (int stage = 1; stage <= 4; ++stage) {
    const std::int64_t wider = std::int64_t{64} << (stage - 1);
    for (int block = 0; block < 2; ++block) {
      const std::string name = "layer" + std::to_string(stage) + "." + std::to_string(block);
      spec.layers.push_back(basic_block(name, channels, wider, stage > 1 && block == 0 ? 2 : 1));
      channels = wider;
    }
  }
  spec.layers.push_back(pool(LayerKind::avg_pool, "avgpool", 4));
  spec.layers.push_back(plain(LayerKind::flatten, "flatten"));
  spec.layers.push_back(linear("linear", class_count));
  return spec;
}

ModelSpec resnet9(std::int64_t class_count) {
  ModelSpec spec{.name = "resnet9", .class_count = class_count};
  add_conv_bn_relu(spec.layers, "prep", 64);
  std::int64_t channels = 64;
  for (int stage = 1; stage <= 3; ++stage) {
    const std::string name = "layer" + std::to_string(stage);
    channels *= 2;
    add_conv_bn_relu(spec.layers, name, channels);
    spec.layers.push_back(pool(LayerKind::max_pool, name + ".pool", 2));
    if (stage != 2) spec.layers.push_back(positive_residual(name + ".residual", channels));
  }
  spec.layers.push_back(pool(LayerKind::max_pool, "pool", 4));
  spec.layers.push_back(plain(LayerKind::flatten, "flatten"));
  spec.layers.push_back(linear("linear", class_count));
  spec.layers.back().bias = false;
  spec.layers.push_back({.kind = LayerKind::scale, .name = "logits", .factor = 0.125});
  return spec;
}

ModelSpec speedrun94(std::int64_t class_count, const SpeedrunWidths& widths) {
  ModelSpec spec{.name = "speedrun94", .class_count = class_count};
  LayerSpec whiten = conv("whiten", 24, 2);
  whiten.trained = false;
  whiten.initialisation = Initialisation::whitening;
  spec.layers = {std::move(whiten), plain(LayerKind::gelu, "layers.0")};
  int block = 1;
  for (const std::int64_t channels : {widths.block1, widths.block2, widths.block3}) {
    const std::string name = "layers." + std::to_string(block++);
    for (int half = 1; half <= 2; ++half) add_speedrun_half(spec.layers, name, half, channels);
  }
  spec.layers.push_back(pool(LayerKind::max_pool, "layers.4", 3));
  spec.layers.push_back(plain(LayerKind::flatten, "flatten"));
  LayerSpec head = linear("head", class_count);
  head.bias = false;
  head.initialisation = Initialisation::unit_std;
  spec.layers.push_back(std::move(head));
  spec.layers.push_back({.kind = LayerKind::scale, .name = "logits", .factor = 1.0 / 256});
  return spec;
}

namespace {

struct Known {
  const char* name;
  ModelSpec (*make)(std::int64_t class_count);
};
constexpr Known kKnown[] = {
    {"lenet", lenet},
    {"mnist", mnist},
    {"resnet9", resnet9},
    {"resnet18", resnet18},
    {"speedrun94", [](std::int64_t classes) { return speedrun94(classes); }}};

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const Known& known : kKnown) names.emplace_back(known.name);
  return names;
}

std::string known_models() {
  std::string text;
  for (const Known& known : kKnown) text += (text.empty() ? "" : ", ") + std::string(known.name);
  return text;
}

ModelSpec find_model(std::string_view name_or_path, std::int64_t class_count) {
  const std::int64_t classes = class_count == 0 ? 10 : class_count;
  for (const Known& known : kKnown)
    if (name_or_path == known.name) return known.make(classes);
  const bool path = name_or_path.find('/') != name_or_path.npos || name_or_path.ends_with(".json");
  if (!path)
    throw Error(ErrorKind::usage, "--model " + printable(name_or_path), "is no known network",
                "use " + known_models() + " or the path of a spec file (.json)");
  ModelSpec spec =
      parse_spec(read_text_file(Path(name_or_path), std::uint64_t{1} << 22), name_or_path);
  if (class_count != 0 && spec.class_count != class_count)
    throw Error(ErrorKind::input, name_or_path,
                "has " + std::to_string(spec.class_count) + " classes but the data set has " +
                    std::to_string(class_count),
                "set \"classes\" in the spec");
  return spec;
}

}  // namespace kiln
