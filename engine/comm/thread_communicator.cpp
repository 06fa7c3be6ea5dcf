#include "engine/comm/thread_communicator.h"

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "engine/comm/collective.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

using Clock = std::chrono::steady_clock;

using comm::Kind;

// One collective: what the ranks have handed in, and how far it is.
struct Collective {
  Kind kind = Kind::barrier;
  DType type = DType::f32;
  std::int64_t count = 0;
  int root = 0;
  std::vector<void*> data;    // by rank
  std::vector<void*> target;  // all_gather, all_to_all: where the whole goes
  std::vector<bool> posted, shared;
  int posted_count = 0, shared_count = 0, left_count = 0;
};

void do_share(const Collective& op, int rank) {
  const int size = static_cast<int>(op.data.size());
  const auto mine = static_cast<std::size_t>(rank);
  const std::size_t bytes = static_cast<std::size_t>(op.count) * size_of(op.type);
  if (op.kind == Kind::all_reduce) {
    const comm::Share share = comm::share_of(op.count, rank, size);
    return comm::sum_in_order(op.data, op.data, share.first, share.count(), op.type);
  }
  if (op.kind == Kind::broadcast && rank != op.root && bytes > 0)
    std::memcpy(op.data[mine], op.data[static_cast<std::size_t>(op.root)], bytes);
  if (op.kind == Kind::all_gather && bytes > 0)
    for (std::size_t r = 0; r < op.data.size(); ++r)
      std::memcpy(static_cast<std::byte*>(op.target[mine]) + r * bytes, op.data[r], bytes);
  if (op.kind == Kind::all_to_all && bytes > 0) {
    const std::size_t piece = bytes / op.data.size();
    for (std::size_t r = 0; r < op.data.size(); ++r)
      std::memcpy(static_cast<std::byte*>(op.target[mine]) + r * piece,
                  static_cast<const std::byte*>(op.data[r]) + mine * piece, piece);
  }
}

// The ranks' meeting place. Everything is guarded by one mutex but the elements, which a rank
// touches between the last post and the last share of a collective.
class Group {
 public:
  Group(int size, std::chrono::milliseconds deadline) : deadline_(deadline) {
    const auto ranks = static_cast<std::size_t>(size);
    next_.resize(ranks);
    oldest_.resize(ranks);
    for (Collective& op : ops_) {
      op.data.resize(ranks);
      op.target.resize(ranks);
      op.posted.resize(ranks);
      op.shared.resize(ranks);
    }
    fault_.reserve(kFaultRoom);
  }
  int size() const { return static_cast<int>(next_.size()); }

  // Hands in this rank's part of its next collective; returns the collective's place.
  int post(int rank, Kind kind, const comm::Elements& e, int root, void* target);
  bool test(int rank, int slot);
  void wait(int rank, int slot);
  // Allocates nothing: the fault may be that there is no memory. A long text is cut.
  void abandon(int rank, std::string_view what, std::string_view why = {}) noexcept;

 private:
  static constexpr std::size_t kFaultRoom = 1000;  // characters
  static constexpr std::size_t kOps = Communicator::kMostReductions + 1;
  using Lock = std::unique_lock<std::mutex>;

  Collective& at(int slot) { return ops_[static_cast<std::size_t>(slot)]; }
  void take_shares(int rank, Lock& lock);
  void leave(Collective& op);
  template <class Ready>
  void wait_until(int rank, Lock& lock, const Collective& op, const Ready& ready);
  void check_fault(int rank) const;
  [[noreturn]] void missing(int rank, const Collective& op);

  const std::chrono::milliseconds deadline_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Collective ops_[kOps];
  std::vector<std::uint64_t> next_;    // number of each rank's next collective
  std::vector<std::uint64_t> oldest_;  // the first whose share it may still owe
  int fault_rank_ = -1;
  std::string fault_;
};

void Group::check_fault(int rank) const {
  if (fault_rank_ >= 0 && fault_rank_ != rank)
    throw Error(ErrorKind::io, "rank " + std::to_string(fault_rank_), fault_);
}

void Group::missing(int rank, const Collective& op) {
  std::string names;
  for (std::size_t r = 0; r < op.posted.size(); ++r)
    if (!op.posted[r]) names += (names.empty() ? "rank " : ", rank ") + std::to_string(r);
  if (names.empty()) names = "a rank";
  throw Error(ErrorKind::io, names,
              "did not come to " + std::string(comm::name_of(op.kind)) + " within " +
                  std::to_string(deadline_.count() / 1000) + " s of rank " + std::to_string(rank),
              "it hangs, or works on something else");
}

template <class Ready>
void Group::wait_until(int rank, Lock& lock, const Collective& op, const Ready& ready) {
  const auto end = Clock::now() + deadline_;
  while (!ready()) {
    check_fault(rank);
    if (changed_.wait_until(lock, end) == std::cv_status::timeout && !ready()) missing(rank, op);
  }
}

int Group::post(int rank, Kind kind, const comm::Elements& e, int root, void* target) {
  Lock lock(mutex_);
  check_fault(rank);
  const auto r = static_cast<std::size_t>(rank);
  const std::size_t slot = next_[r] % kOps;
  Collective& op = ops_[slot];
  // The collective that had this place before must have been left by all.
  wait_until(rank, lock, op, [&] {
    take_shares(rank, lock);
    return !op.posted[r];
  });
  if (op.posted_count == 0) {
    op.kind = kind;
    op.type = e.type;
    op.count = e.count;
    op.root = root;
  }
  if (op.kind != kind || op.type != e.type || op.count != e.count || op.root != root)
    throw Error(ErrorKind::io, "rank " + std::to_string(rank),
                "calls " + comm::described(kind, e.count, e.type) + " where others call " +
                    comm::described(op.kind, op.count, op.type));
  op.data[r] = e.data;
  op.target[r] = target;
  op.posted[r] = true;
  ++next_[r];
  if (++op.posted_count == size()) changed_.notify_all();
  return static_cast<int>(slot);
}

// Every share that this rank owes and that can be done: others may wait for any of them.
void Group::take_shares(int rank, Lock& lock) {
  const auto r = static_cast<std::size_t>(rank);
  for (; oldest_[r] < next_[r]; ++oldest_[r]) {
    Collective& op = ops_[oldest_[r] % kOps];
    if (op.posted_count < size()) return;
    lock.unlock();
    do_share(op, rank);
    lock.lock();
    op.shared[r] = true;
    if (++op.shared_count == size()) changed_.notify_all();
  }
}

void Group::leave(Collective& op) {
  if (++op.left_count < size()) return;
  op.posted.assign(op.posted.size(), false);
  op.shared.assign(op.shared.size(), false);
  op.posted_count = op.shared_count = op.left_count = 0;
  changed_.notify_all();
}

bool Group::test(int rank, int slot) {
  Lock lock(mutex_);
  check_fault(rank);
  take_shares(rank, lock);
  if (at(slot).shared_count < size()) return false;
  leave(at(slot));
  return true;
}

void Group::wait(int rank, int slot) {
  Lock lock(mutex_);
  Collective& op = at(slot);
  wait_until(rank, lock, op, [&] {
    take_shares(rank, lock);
    return op.shared_count == size();
  });
  leave(op);
}

void Group::abandon(int rank, std::string_view what, std::string_view why) noexcept {
  const Lock lock(mutex_);
  if (fault_rank_ >= 0) return;
  fault_rank_ = rank;
  fault_ = what.substr(0, kFaultRoom);
  fault_ += why.substr(0, kFaultRoom - fault_.size());
  changed_.notify_all();
}

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(Group& group, int rank) : Communicator(rank, group.size()), group_(group) {}

  std::string description() const override { return std::to_string(size()) + " ranks, threads"; }
  void barrier() override { run(Kind::barrier, {}); }
  void abandon(std::string_view why) noexcept override { group_.abandon(rank(), why); }

 protected:
  void do_all_reduce(const comm::Elements& values) override { run(Kind::all_reduce, values); }
  int do_start_all_reduce(const comm::Elements& values) override {
    return group_.post(rank(), Kind::all_reduce, values, 0, nullptr);
  }
  bool do_test(int slot) override { return group_.test(rank(), slot); }
  void do_wait(int slot) override { group_.wait(rank(), slot); }
  void do_broadcast(const comm::Elements& values, int root) override {
    run(Kind::broadcast, values, root);
  }
  void do_all_gather(const comm::Elements& mine, void* all) override {
    run(Kind::all_gather, mine, 0, all);
  }
  void do_all_to_all(const comm::Elements& mine, void* theirs) override {
    run(Kind::all_to_all, mine, 0, theirs);
  }

 private:
  void run(Kind kind, const comm::Elements& e, int root = 0, void* target = nullptr) {
    group_.wait(rank(), group_.post(rank(), kind, e, root, target));
  }

  Group& group_;
};

}  // namespace

void run_thread_ranks(const ThreadRanksOptions& options,
                      const std::function<void(Communicator&)>& body) {
  Group group(options.size, options.deadline);
  std::mutex mutex;
  std::exception_ptr first;
  const auto keep = [&](int rank, std::string_view what, std::string_view why = {}) {
    const std::lock_guard lock(mutex);
    if (!first) first = std::current_exception();
    group.abandon(rank, what, why);
  };
  const auto run = [&](int rank) {
    ThreadCommunicator communicator(group, rank);
    try {
      body(communicator);
    } catch (const std::exception& error) {
      keep(rank, "has failed: ", error.what());
    } catch (...) {
      keep(rank, "has failed");
    }
  };
  int rank = 1, not_started = 0;  // of the thread that could not be: errno
  {
    std::vector<std::jthread> threads;
    threads.reserve(static_cast<std::size_t>(options.size));
    try {
      for (; rank < options.size; ++rank) threads.emplace_back(run, rank);
      run(0);
    } catch (const std::system_error& error) {
      not_started = error.code().value();
    } catch (const std::bad_alloc&) {
      not_started = ENOMEM;
    }
    // The others are not to wait for it.
    if (not_started != 0) group.abandon(rank, "cannot be started as a thread");
  }
  // Said when the others have given back what it may have lacked.
  if (not_started != 0)
    throw Error(ErrorKind::io, "rank " + std::to_string(rank),
                "cannot be started as a thread: " + errno_text(not_started), "use fewer ranks");
  if (first) std::rethrow_exception(first);
}

}  // namespace kiln
