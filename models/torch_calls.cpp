#include "models/torch_calls.h"

#include "engine/pickle/pickle_machine.h"

namespace kiln {
namespace {

using Kind = PickleValue::Kind;

constexpr std::string_view kOrderedDict = "collections.OrderedDict",
                           kTensor = "torch._utils._rebuild_tensor_v2",
                           kParameter = "torch._utils._rebuild_parameter";

bool is_storage(std::string_view name) {
  return name.starts_with("torch.") && name.ends_with("Storage") && name.find('.', 6) == name.npos;
}

}  // namespace

bool TorchCalls::permits(std::string_view name) const {
  return name == kOrderedDict || name == kTensor || name == kParameter || is_storage(name);
}

std::string_view TorchCalls::mend() const {
  return "weights need no code: write the file with torch.save(model.state_dict(), path), and "
         "trust no file that asks for more";
}

PickleValue TorchCalls::call(PickleMachine& machine, std::string_view name,
                             const PickleValue& arguments) const {
  if (name == kOrderedDict) {
    if (!arguments.items.empty()) machine.fail("an ordered dictionary made of something");
    return {.kind = Kind::dict};
  }
  if (name == kTensor) {
    const PickleValue& offset = machine.item(arguments, 1);
    if (machine.item(arguments, 0).kind != Kind::storage || offset.kind != Kind::integer ||
        machine.item(arguments, 2).kind != Kind::tuple ||
        machine.item(arguments, 3).kind != Kind::tuple)
      machine.fail("a tensor of an unknown form");
    return {.kind = Kind::tensor,
            .integer = offset.integer,
            .items = {arguments.items[0], arguments.items[2], arguments.items[3]}};
  }
  if (name == kParameter) {
    if (machine.item(arguments, 0).kind != Kind::tensor) machine.fail("a parameter of no tensor");
    return machine.item(arguments, 0);
  }
  machine.fail("a call of " + std::string(name));
}

// A dictionary's state is its metadata: versions of layers, which say nothing about the weights.
void TorchCalls::build(PickleMachine& machine, PickleValue& target, const PickleValue&) const {
  if (target.kind != Kind::dict) machine.fail("a state for something that has none");
}

// ("storage", type, key, place, count of elements); the place is a device, which is left out.
PickleValue TorchCalls::persistent(PickleMachine& machine, const PickleValue& id) const {
  if (id.kind != Kind::tuple || id.items.size() != 5) machine.fail("an object outside the file");
  const PickleValue &type = machine.item(id, 1), &key = machine.item(id, 2),
                    &count = machine.item(id, 4);
  if (machine.item(id, 0).bytes != "storage" || type.kind != Kind::name || !key.is_string() ||
      count.kind != Kind::integer)
    machine.fail("a storage of an unknown form");
  return {
      .kind = Kind::storage, .integer = count.integer, .bytes = key.bytes, .items = {id.items[1]}};
}

}  // namespace kiln
