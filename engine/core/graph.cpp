#include "engine/core/graph.h"

#include <utility>

namespace kiln {

Graph::Graph(Graph&& other) noexcept
    : device_(other.device_), graph_(std::exchange(other.graph_, nullptr)) {}

Graph& Graph::operator=(Graph&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(graph_, other.graph_);
  return *this;
}

Graph::~Graph() {
  if (graph_ != nullptr) device_.backend->release_graph(device_.index, graph_);
}

}  // namespace kiln
