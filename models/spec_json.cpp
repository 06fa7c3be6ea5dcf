// The JSON form of a ModelSpec.
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "engine/core/error.h"
#include "models/json_strict.h"
#include "models/spec.h"

namespace kiln {
namespace {

using Json = nlohmann::json;
using Ordered = nlohmann::ordered_json;  // written files keep the order of a reader's eye

constexpr int kDepthLimit = 8;
constexpr std::size_t kLayerLimit = 2000;
constexpr std::int64_t kExtentLimit = 65536;
constexpr std::size_t kTextLimit = std::size_t{1} << 22;

constexpr std::pair<std::string_view, LayerKind> kKinds[] = {
    {"conv2d", LayerKind::conv2d},
    {"linear", LayerKind::linear},
    {"relu", LayerKind::relu},
    {"gelu", LayerKind::gelu},
    {"max_pool", LayerKind::max_pool},
    {"avg_pool", LayerKind::avg_pool},
    {"batch_norm", LayerKind::batch_norm},
    {"dropout", LayerKind::dropout},
    {"flatten", LayerKind::flatten},
    {"log_softmax", LayerKind::log_softmax},
    {"residual", LayerKind::residual},
    {"scale", LayerKind::scale},
};

// Reads the keys of one JSON object and complains about every key that nobody asked for.
class Reader {
 public:
  Reader(const Json& object, std::string origin) : object_(object), origin_(std::move(origin)) {
    if (!object.is_object()) fail("is not an object");
  }

  [[noreturn]] void fail(std::string_view wrong) const {
    throw Error(ErrorKind::input, origin_, wrong, "see docs/models.md");
  }
  const Json* find(const char* key) {
    used_.insert(key);
    const auto at = object_.find(key);
    return at == object_.end() ? nullptr : &*at;
  }
  std::string text(const char* key, std::string_view fallback) {
    const Json* value = find(key);
    if (value == nullptr) return std::string(fallback);
    if (!value->is_string()) fail("\"" + std::string(key) + "\" is not a string");
    std::string text = value->get<std::string>();
    if (text.size() > 200) fail("\"" + std::string(key) + "\" is longer than 200 bytes");
    return text;
  }
  std::int64_t integer(const char* key, std::int64_t fallback, std::int64_t least) {
    const Json* value = find(key);
    return value == nullptr ? fallback : integer_of(*value, key, least);
  }
  std::int64_t required(const char* key) {
    const Json* value = find(key);
    if (value == nullptr) fail("lacks \"" + std::string(key) + "\"");
    return integer_of(*value, key, 1);
  }
  // A number for both axes, or [height, width].
  void pair(const char* key, std::int64_t least, std::int64_t& h, std::int64_t& w) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (value->is_array()) {
      if (value->size() != 2) fail("\"" + std::string(key) + "\" is not [height, width]");
      h = integer_of((*value)[0], key, least);
      w = integer_of((*value)[1], key, least);
    } else {
      h = w = integer_of(*value, key, least);
    }
  }
  double number(const char* key, double fallback, double low, double high) {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_number()) fail("\"" + std::string(key) + "\" is not a number");
    const double x = value->get<double>();
    if (!(x >= low && x <= high)) fail("\"" + std::string(key) + "\" is out of range");
    return x;
  }
  bool boolean(const char* key, bool fallback) {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_boolean()) fail("\"" + std::string(key) + "\" is not true or false");
    return value->get<bool>();
  }
  void finish() const {
    for (const auto& [key, value] : object_.items())
      if (!used_.contains(key)) fail("has the unknown key \"" + printable(key, 40) + "\"");
  }
  const std::string& origin() const { return origin_; }

 private:
  std::int64_t integer_of(const Json& value, const char* key, std::int64_t least) const {
    if (!value.is_number_integer()) fail("\"" + std::string(key) + "\" is not a whole number");
    const auto x = value.get<std::int64_t>();
    if (x < least || x > kExtentLimit)
      fail("\"" + std::string(key) + "\" must be " + std::to_string(least) + " to " +
           std::to_string(kExtentLimit));
    return x;
  }

  const Json& object_;
  std::string origin_;
  std::set<std::string, std::less<>> used_;
};

std::vector<LayerSpec> parse_layers(const Json& list, const std::string& origin, int depth,
                                    std::size_t& budget);

LayerKind parse_kind(Reader& reader) {
  const std::string type = reader.text("type", "");
  for (const auto& [name, kind] : kKinds)
    if (type == name) return kind;
  reader.fail("has the unknown type \"" + printable(type, 40) + "\"");
}

void parse_window(Reader& reader, LayerSpec& layer, bool stride_is_kernel) {
  layer.kernel_h = layer.kernel_w = 0;
  reader.pair("kernel_size", 1, layer.kernel_h, layer.kernel_w);
  if (layer.kernel_h == 0) reader.fail("lacks \"kernel_size\"");
  if (stride_is_kernel) {
    layer.stride_h = layer.kernel_h;
    layer.stride_w = layer.kernel_w;
  }
  reader.pair("stride", 1, layer.stride_h, layer.stride_w);
  reader.pair("padding", 0, layer.padding_h, layer.padding_w);
}

Initialisation parse_initialisation(Reader& reader, std::initializer_list<Initialisation> known) {
  const std::string name = reader.text("initialisation", name_of(Initialisation::uniform));
  for (const Initialisation initialisation : known)
    if (name == name_of(initialisation)) return initialisation;
  reader.fail("has the unknown initialisation \"" + printable(name, 40) + "\"");
}

void parse_fields(Reader& reader, LayerSpec& layer, int depth, std::size_t& budget) {
  switch (layer.kind) {
    case LayerKind::conv2d:
      layer.out_features = reader.required("out_channels");
      parse_window(reader, layer, false);
      reader.pair("dilation", 1, layer.dilation_h, layer.dilation_w);
      layer.groups = reader.integer("groups", 1, 1);
      layer.bias = reader.boolean("bias", true);
      layer.trained = reader.boolean("trained", true);
      layer.initialisation =
          parse_initialisation(reader, {Initialisation::uniform, Initialisation::dirac,
                                        Initialisation::whitening, Initialisation::unit_std});
      break;
    case LayerKind::linear:
      layer.out_features = reader.required("out_features");
      layer.bias = reader.boolean("bias", true);
      layer.trained = reader.boolean("trained", true);
      layer.initialisation =
          parse_initialisation(reader, {Initialisation::uniform, Initialisation::unit_std});
      break;
    case LayerKind::avg_pool:
      layer.count_include_pad = reader.boolean("count_include_pad", true);
      parse_window(reader, layer, true);
      break;
    case LayerKind::max_pool:
      parse_window(reader, layer, true);
      break;
    case LayerKind::batch_norm:
      layer.momentum = reader.number("momentum", 0.1, 0, 1);
      layer.epsilon = reader.number("epsilon", 1e-5, 1e-12, 1);
      layer.scale = reader.boolean("scale", true);
      break;
    case LayerKind::scale:
      if (reader.find("factor") == nullptr) reader.fail("lacks \"factor\"");
      layer.factor = reader.number("factor", 1, -1e6, 1e6);
      break;
    case LayerKind::dropout:
      layer.probability = reader.number("probability", 0.5, 0, 0.999999);
      layer.channel = reader.boolean("channel", false);
      break;
    case LayerKind::residual: {
      const Json* body = reader.find("body");
      if (body == nullptr) reader.fail("lacks \"body\"");
      layer.body = parse_layers(*body, reader.origin() + ".body", depth + 1, budget);
      if (const Json* shortcut = reader.find("shortcut"))
        layer.shortcut = parse_layers(*shortcut, reader.origin() + ".shortcut", depth + 1, budget);
      break;
    }
    default:
      break;
  }
}

std::vector<LayerSpec> parse_layers(const Json& list, const std::string& origin, int depth,
                                    std::size_t& budget) {
  if (!list.is_array()) throw Error(ErrorKind::input, origin, "is not a list of layers");
  if (depth > kDepthLimit) throw Error(ErrorKind::input, origin, "is nested too deeply");
  std::vector<LayerSpec> layers;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (budget-- == 0) throw Error(ErrorKind::input, origin, "has too many layers");
    Reader reader(list[i], origin + "[" + std::to_string(i) + "]");
    LayerSpec layer;
    layer.kind = parse_kind(reader);
    layer.name = reader.text("name", std::string(name_of(layer.kind)) + std::to_string(i));
    parse_fields(reader, layer, depth, budget);
    reader.finish();
    layers.push_back(std::move(layer));
  }
  return layers;
}

void collect_names(const std::vector<LayerSpec>& layers, const std::string& origin,
                   std::set<std::string>& names) {
  for (const LayerSpec& layer : layers) {
    collect_names(layer.body, origin, names);
    collect_names(layer.shortcut, origin, names);
    const bool has_parameters = layer.kind == LayerKind::conv2d ||
                                layer.kind == LayerKind::linear ||
                                layer.kind == LayerKind::batch_norm;
    if (has_parameters && !names.insert(layer.name).second)
      throw Error(ErrorKind::input, origin,
                  "has two layers named \"" + printable(layer.name) + "\"",
                  "give each layer with weights its own name");
  }
}

Ordered to_json(const LayerSpec& layer);

Ordered list_of(const std::vector<LayerSpec>& layers) {
  Ordered list = Ordered::array();
  for (const LayerSpec& layer : layers) list.push_back(to_json(layer));
  return list;
}

Ordered pair_of(std::int64_t h, std::int64_t w) {
  return h == w ? Ordered(h) : Ordered::array({h, w});
}

Ordered to_json(const LayerSpec& layer) {
  Ordered json{{"type", std::string(name_of(layer.kind))}, {"name", layer.name}};
  const bool conv = layer.kind == LayerKind::conv2d;
  if (conv) json["out_channels"] = layer.out_features;
  if (layer.kind == LayerKind::linear) json["out_features"] = layer.out_features;
  if (conv || layer.kind == LayerKind::max_pool || layer.kind == LayerKind::avg_pool) {
    json["kernel_size"] = pair_of(layer.kernel_h, layer.kernel_w);
    json["stride"] = pair_of(layer.stride_h, layer.stride_w);
    json["padding"] = pair_of(layer.padding_h, layer.padding_w);
  }
  if (conv) {
    json["dilation"] = pair_of(layer.dilation_h, layer.dilation_w);
    json["groups"] = layer.groups;
  }
  if (conv || layer.kind == LayerKind::linear) json["bias"] = layer.bias;
  // Keys of later versions stand only where they say something: specs keep their text.
  if (!layer.trained) json["trained"] = false;
  if (layer.initialisation != Initialisation::uniform)
    json["initialisation"] = std::string(name_of(layer.initialisation));
  if (layer.kind == LayerKind::avg_pool) json["count_include_pad"] = layer.count_include_pad;
  if (layer.kind == LayerKind::batch_norm) {
    json["momentum"] = layer.momentum;
    json["epsilon"] = layer.epsilon;
    if (!layer.scale) json["scale"] = false;
  }
  if (layer.kind == LayerKind::dropout) {
    json["probability"] = layer.probability;
    json["channel"] = layer.channel;
  }
  if (layer.kind == LayerKind::scale) json["factor"] = layer.factor;
  if (layer.kind == LayerKind::residual) {
    json["body"] = list_of(layer.body);
    json["shortcut"] = list_of(layer.shortcut);
  }
  return json;
}

}  // namespace

ModelSpec parse_spec(std::string_view json_text, std::string_view origin) {
  if (json_text.size() > kTextLimit) throw Error(ErrorKind::input, origin, "is larger than 4 MiB");
  const nlohmann::json json = parse_json_strict(json_text, origin);
  Reader reader(json, std::string(origin));
  ModelSpec spec;
  spec.name = reader.text("name", "custom");
  if (const Json* input = reader.find("input")) {
    Reader extent(*input, std::string(origin) + ".input");
    spec.height = extent.required("height");
    spec.width = extent.required("width");
    spec.channels = extent.required("channels");
    extent.finish();
  }
  spec.class_count = reader.integer("classes", 10, 2);
  const Json* layers = reader.find("layers");
  if (layers == nullptr) reader.fail("lacks \"layers\"");
  std::size_t budget = kLayerLimit;
  spec.layers = parse_layers(*layers, std::string(origin) + ".layers", 0, budget);
  reader.finish();
  std::set<std::string> names;
  collect_names(spec.layers, std::string(origin), names);
  try {
    check_spec(spec);
  } catch (const Error& error) {
    throw Error(ErrorKind::input, origin, error.what());
  }
  return spec;
}

std::string to_json(const ModelSpec& spec) {
  Ordered json;
  json["name"] = spec.name;
  json["input"] = {{"height", spec.height}, {"width", spec.width}, {"channels", spec.channels}};
  json["classes"] = spec.class_count;
  json["layers"] = list_of(spec.layers);
  return json.dump(2) + "\n";
}

}  // namespace kiln
