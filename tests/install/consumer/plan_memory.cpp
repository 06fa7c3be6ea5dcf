// Plans a chain of three slots and checks that the first and the last share memory.
#include <cstdio>

#include "engine/core/memory.h"
#include "engine/core/planner.h"
#include "engine/core/tensor.h"

int main() {
  kiln::Planner planner;
  const kiln::Shape shape = {2, 3};
  const kiln::Slot a = planner.define("a", shape);
  const kiln::Slot b = planner.define("b", shape);
  const kiln::Slot c = planner.define("c", shape);
  planner.op({.name = "make a", .writes = {a}});
  planner.op({.name = "a to b", .reads = {a}, .writes = {b}});
  planner.op({.name = "b to c", .reads = {b}, .writes = {c}});

  const kiln::Memory memory(planner.finish(), kiln::Device{});
  const kiln::Tensor tensor = memory[c];
  tensor.data<float>()[5] = 1.0f;
  std::printf("%lld elements in an arena of %zu bytes instead of %zu\n",
              static_cast<long long>(tensor.element_count()), memory.plan().arena_bytes,
              memory.plan().separate_bytes);
  const bool shared = memory[a].raw() == tensor.raw();
  return tensor.element_count() == 6 && shared ? 0 : 1;
}
