#include "engine/comm/mpi_communicator.h"

#include <array>
#include <condition_variable>
#include <dlfcn.h>
#include <filesystem>
#include <limits>
#include <mutex>
#include <optional>
#include <sched.h>
#include <stop_token>
#include <system_error>
#include <thread>

#include "engine/comm/mpi_api.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

constexpr const char* kPlugin = "libkiln_mpi.so";
constexpr std::int64_t kLargeSumBytes = std::int64_t{64} << 10;
constexpr std::int64_t kMostStartedCount = std::numeric_limits<int>::max();  // MPI counts in int

const MpiApi* open_plugin(std::string& why) {
  std::error_code failed;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", failed).parent_path();
  for (const auto& place : {folder, folder / ".." / "lib"}) {
    const auto path = place / kPlugin;
    if (!std::filesystem::exists(path, failed)) continue;
    // Stays open: MPI leaves handlers and threads behind.
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library == nullptr) {
      why = dlerror();
      return nullptr;
    }
    const MpiCaller caller;
    const auto entry = reinterpret_cast<MpiEntry>(dlsym(library, kMpiEntryName));
    const MpiApi* api = entry == nullptr ? nullptr : entry(&caller);
    if (api == nullptr) why = path.string() + " belongs to another build of kiln";
    return api;
  }
  why = std::string(kPlugin) + " is neither beside the program nor in ../lib";
  return nullptr;
}

// MPI's start waits for every rank, for ever, and the watch begins behind it. A thread that calls
// on_stuck where this object lives longer than the deadline.
class StartLimit {
 public:
  explicit StartLimit(const WatchOptions& options) {
    if (options.on_stuck)
      thread_ = std::jthread([=](const std::stop_token& stop) { wait(options, stop); });
  }

 private:
  static void wait(const WatchOptions& options, const std::stop_token& stop) {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any over;
    if (over.wait_for(lock, stop, options.deadline, [&] { return stop.stop_requested(); })) return;
    options.on_stuck(Error(ErrorKind::io, "MPI",
                           "has not started within " +
                               std::to_string(options.deadline.count() / 1000) +
                               " s: a rank hangs, or does not call MPI",
                           "look at the ranks that do not say this"));
  }

  std::jthread thread_;
};

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(const MpiApi& api, void* session, const WatchOptions& options,
                  std::optional<StartLimit>& limit)
      : Communicator(api.rank(session), api.size(session)),
        api_(api),
        session_(session),
        several_machines_(api.local_size(session) < size()) {
    if (size() > 1) begin_watch(options, limit);
  }
  // After a fault MPI is left as it is: ending it would wait for the rank that is gone.
  ~MpiCommunicator() override {
    const bool faulty = watch_ && watch_->faulty();
    watch_.reset();
    if (!faulty) api_.close(session_);
  }

  std::string description() const override {
    const std::string library = api_.library(session_);
    return std::to_string(size()) + " ranks, " + library.substr(0, library.find(','));
  }
  bool overlap_pays() const override { return several_machines_; }
  void barrier() override {
    blocking([&] { return api_.barrier(session_); });
  }
  void abandon(std::string_view why) noexcept override {
    if (watch_) watch_->abandon(why);
  }

 protected:
  void do_all_reduce(const comm::Elements& e) override;
  int do_start_all_reduce(const comm::Elements& e) override;
  bool do_test(int slot) override;
  void do_wait(int slot) override;
  void do_broadcast(const comm::Elements& e, int root) override {
    blocking([&] { return api_.broadcast(session_, e.data, e.count, e.type, root); });
  }
  void do_all_gather(const comm::Elements& mine, void* all) override {
    blocking([&] { return api_.all_gather(session_, mine.data, all, mine.count, mine.type); });
  }
  void do_all_to_all(const comm::Elements& mine, void* theirs) override {
    blocking([&] {
      return api_.all_to_all(session_, mine.data, theirs, mine.count / size(), mine.type);
    });
  }

 private:
  void begin_watch(const WatchOptions& options, std::optional<StartLimit>& limit);
  void check(int fault) const;
  template <class Call>
  void blocking(const Call& call);

  const MpiApi& api_;
  void* session_;
  bool several_machines_;
  std::unique_ptr<RankWatch> watch_;  // null with one rank
  std::array<bool, kMostReductions> busy_{};
};

// MPI itself tells the others where rank 0 listens. From then on its deadline holds.
void MpiCommunicator::begin_watch(const WatchOptions& options, std::optional<StartLimit>& limit) {
  WatchAddress address;
  std::unique_ptr<RankWatch> watch;
  if (rank() == 0) {
    watch = std::make_unique<RankWatch>(size(), options);
    address = watch->address();
  } else {
    watch = std::make_unique<RankWatch>(rank(), size(), options);
  }
  std::int64_t numbers[] = {address.port, address.token,
                            static_cast<std::int64_t>(address.hosts.size())};
  broadcast<std::int64_t>(numbers);
  address.port = numbers[0];
  address.token = numbers[1];
  address.hosts.resize(static_cast<std::size_t>(numbers[2]));
  broadcast<char>(address.hosts);
  limit.reset();
  if (rank() == 0)
    watch->gather();
  else
    watch->connect(address);
  watch_ = std::move(watch);
}

// A broken connection inside MPI is most often a rank that has died: the watch knows which.
void MpiCommunicator::check(int fault) const {
  if (watch_) watch_->check();
  if (fault == 0) return;
  if (watch_) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    watch_->check();
  }
  char text[512] = {};
  api_.error_text(fault, text, sizeof text);
  throw Error(ErrorKind::io, "rank " + std::to_string(rank()), std::string("MPI failed: ") + text);
}

template <class Call>
void MpiCommunicator::blocking(const Call& call) {
  if (!watch_) return check(call());
  watch_->check();
  watch_->count_collective();
  const RankWatch::Wait wait(*watch_);
  check(call());
}

// Large sums are started and waited for: Open MPI's blocking ring sends and receives in turns where
// both go through one connection, and waits without leaving the core to others.
void MpiCommunicator::do_all_reduce(const comm::Elements& e) {
  const auto bytes = e.count * static_cast<std::int64_t>(size_of(e.type));
  if (bytes >= kLargeSumBytes && e.count <= kMostStartedCount)
    do_wait(do_start_all_reduce(e));
  else
    blocking([&] { return api_.all_reduce(session_, e.data, e.count, e.type); });
}

int MpiCommunicator::do_start_all_reduce(const comm::Elements& e) {
  int slot = 0;
  while (slot < kMostReductions && busy_[static_cast<std::size_t>(slot)]) ++slot;
  if (slot == kMostReductions)
    throw Error(ErrorKind::io, "reductions", "are more than can be under way at a time");
  if (watch_) {
    watch_->check();
    watch_->count_collective();
  }
  check(api_.start_all_reduce(session_, e.data, e.count, e.type, slot));
  busy_[static_cast<std::size_t>(slot)] = true;
  return slot;
}

bool MpiCommunicator::do_test(int slot) {
  int done = 0;
  check(api_.test(session_, slot, &done));
  if (done != 0) busy_[static_cast<std::size_t>(slot)] = false;
  return done != 0;
}

// Where ranks share a core the one that waits makes room for the one that works.
void MpiCommunicator::do_wait(int slot) {
  std::optional<RankWatch::Wait> wait;
  if (watch_) wait.emplace(*watch_);
  while (!do_test(slot)) ::sched_yield();
}

}  // namespace

bool has_mpi(std::string& why) { return open_plugin(why) != nullptr; }

std::unique_ptr<Communicator> make_mpi_communicator(const WatchOptions& options) {
  constexpr const char* kMend = "install Open MPI (openmpi-bin), or use --comm threads";
  std::string why;
  const MpiApi* api = open_plugin(why);
  if (api == nullptr) throw Error(ErrorKind::unsupported, "MPI", "cannot be used: " + why, kMend);
  std::optional<StartLimit> limit(options);
  char text[512] = "MPI does not start";
  void* session = api->open(text, sizeof text);
  if (session == nullptr)
    throw Error(ErrorKind::unsupported, "MPI", std::string("cannot be used: ") + text, kMend);
  return std::make_unique<MpiCommunicator>(*api, session, options, limit);
}

}  // namespace kiln
