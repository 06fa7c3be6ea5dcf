// Communicator: what the ranks of a data-parallel run say to each other. A rank is a process or a
// thread with a replica of the network; ranks are numbered from 0.
//
// All ranks call the same collectives in the same order with the same counts. Counts are numbers of
// elements, never bytes. A sum has the same bits on every rank. Calls belong to one thread of a
// rank.
//
// Where another rank has died, hangs past the deadline or has given up, every call throws
// Error (io) whose thing is that rank: "rank 2".
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "engine/core/dtype.h"

namespace kiln {

namespace comm {

// What a collective works on.
struct Elements {
  void* data = nullptr;
  std::int64_t count = 0;
  DType type = DType::f32;
};

template <class T>
inline constexpr DType type_of = DType::u8;
template <>
inline constexpr DType type_of<float> = DType::f32;
template <>
inline constexpr DType type_of<double> = DType::f64;
template <>
inline constexpr DType type_of<std::int64_t> = DType::i64;

// A span of one of the four types that travel: float, double, std::int64_t, and single bytes.
template <class T>
Elements elements(std::span<T> span) {
  using Value = std::remove_const_t<T>;
  static_assert(type_of<Value> != DType::u8 || sizeof(Value) == 1);
  return {const_cast<Value*>(span.data()), static_cast<std::int64_t>(span.size()), type_of<Value>};
}

}  // namespace comm

class Communicator;

// A sum under way. Its elements must be left alone until it is done, and every reduction that was
// started must be waited for.
class Reduction {
 public:
  Reduction() = default;
  Reduction(Communicator& communicator, int slot) : communicator_(&communicator), slot_(slot) {}

  // Moves this reduction on without waiting, and says whether it is done. Progress is made inside
  // these calls alone.
  bool test();
  void wait();

 private:
  Communicator* communicator_ = nullptr;  // null: done
  int slot_ = 0;
};

class Communicator {
 public:
  static constexpr int kMostReductions = 64;  // under way at a time

  Communicator(int rank, int size) : rank_(rank), size_(size) {}
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  virtual ~Communicator() = default;

  int rank() const { return rank_; }
  int size() const { return size_; }
  // For the log: "2 ranks, Open MPI v4.1.4".
  virtual std::string description() const = 0;

  // Whether reductions should be started while the ranks still compute. Not where they share
  // memory through MPI: nothing is hidden there, both cores compute.
  virtual bool overlap_pays() const { return true; }

  // Sum over the ranks, in place. float, double or std::int64_t.
  template <class T>
  void all_reduce(std::span<T> values) {
    do_all_reduce(comm::elements(values));
  }
  void all_reduce(const comm::Elements& values) { do_all_reduce(values); }
  // The same, not waited for. Allocates nothing.
  template <class T>
  Reduction start_all_reduce(std::span<T> values) {
    return start_all_reduce(comm::elements(values));
  }
  Reduction start_all_reduce(const comm::Elements& values) {
    return {*this, do_start_all_reduce(values)};
  }
  // Those of `root` become those of all.
  template <class T>
  void broadcast(std::span<T> values, int root = 0) {
    do_broadcast(comm::elements(values), root);
  }
  void broadcast(const comm::Elements& values, int root = 0) { do_broadcast(values, root); }
  // all[r * mine.size() + i] = what rank r has as mine[i].
  template <class T>
  void all_gather(std::span<const T> mine, std::span<T> all) {
    do_all_gather(comm::elements(mine), all.data());
  }
  // theirs[r * n + i] = what rank r has as mine[rank() * n + i], where each rank has n elements for
  // each. `mine` and `theirs` hold size() * n elements and do not overlap.
  template <class T>
  void all_to_all(std::span<const T> mine, std::span<T> theirs) {
    do_all_to_all(comm::elements(mine), theirs.data());
  }
  // Comes back when all ranks have called it.
  virtual void barrier() = 0;

  // Tells the other ranks that this one gives up and why; they throw. This rank may call nothing
  // else afterwards.
  virtual void abandon(std::string_view why) noexcept = 0;

 protected:
  friend class Reduction;
  virtual void do_all_reduce(const comm::Elements& values) = 0;
  virtual int do_start_all_reduce(const comm::Elements& values) = 0;
  virtual bool do_test(int slot) = 0;
  virtual void do_wait(int slot) = 0;
  virtual void do_broadcast(const comm::Elements& values, int root) = 0;
  virtual void do_all_gather(const comm::Elements& mine, void* all) = 0;
  virtual void do_all_to_all(const comm::Elements& mine, void* theirs) = 0;

 private:
  int rank_, size_;
};

// The communicator of a run with one rank: nothing is sent.
std::unique_ptr<Communicator> make_single_communicator();

// What every rank has as `mine`, by rank. The texts may differ in length.
std::vector<std::string> all_gather_text(Communicator& communicator, const std::string& mine);

}  // namespace kiln
