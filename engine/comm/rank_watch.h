// RankWatch: who has died, and who hangs. MPI's collectives say neither: a rank whose peer is gone
// waits for ever.
//
// Every rank keeps a connection to rank 0 and says over it five times a second how far it is. A
// connection that closes without a farewell is a rank that has died; one that is silent, or whose
// rank is the one that others wait for, is a rank that hangs. Rank 0 tells everybody; if rank 0 is
// the one, the others see that by themselves. A thread of its own does all this.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/file.h"

namespace kiln {

struct WatchOptions {
  std::chrono::milliseconds deadline{60000};  // of silence, or of being waited for
  // Called once, at once, by the watch's thread, with the fault of another rank. It should be
  // short.
  std::function<void(const Error&)> on_fault;
  // After a fault the rank's own thread has this long to notice it (check() throws) and to leave;
  // then `on_stuck` is called with the fault, by the watch's thread. It should end the process: the
  // rank is in a call that does not come back. mpirun kills what is left a second after a death.
  std::chrono::milliseconds grace{400};
  std::function<void(const Error&)> on_stuck;
};

// Where rank 0 listens, for the others to be told by other means.
struct WatchAddress {
  std::string hosts;  // addresses, parted by spaces, the likeliest first
  std::int64_t port = 0, token = 0;
};

// A connection to another rank.
struct RankConnection {
  int rank = 0;
  UniqueFd socket;
};

class RankWatch {
 public:
  // Rank 0: listens on a free port. Throws Error (io).
  RankWatch(int size, const WatchOptions& options);
  // Another rank.
  RankWatch(int rank, int size, const WatchOptions& options);
  // Any rank, over connections that there are: rank 0's to all others, another's to rank 0. The
  // watch begins; gather() and connect() are not called.
  RankWatch(int rank, const WatchOptions& options, std::vector<RankConnection> connections);
  ~RankWatch();  // says farewell, unless there was a fault
  RankWatch(const RankWatch&) = delete;
  RankWatch& operator=(const RankWatch&) = delete;

  // Rank 0: where it listens.
  WatchAddress address() const { return address_; }
  // Rank 0 takes in all others; another rank connects to it, trying one address after the other.
  // Then the watch begins. Throws Error (io) naming who did not come within the deadline.
  void gather();
  void connect(const WatchAddress& address);

  // Throws Error (io) naming the rank at fault, if there is one.
  void check() const {
    if (faulty_.load(std::memory_order_acquire)) throw_fault();
  }
  bool faulty() const { return faulty_.load(std::memory_order_acquire); }
  // This rank gives up: the others are told.
  void abandon(std::string_view why) noexcept;

  // This rank begins another collective; it waits for others while a Wait lives.
  void count_collective() { collectives_.fetch_add(1, std::memory_order_relaxed); }
  class Wait {
   public:
    explicit Wait(RankWatch& watch);
    ~Wait();
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;

   private:
    RankWatch& watch_;
  };

 private:
  using Clock = std::chrono::steady_clock;
  struct Message;
  struct Peer {  // rank 0 has all others; the others have rank 0
    int rank = 0;
    UniqueFd socket;
    std::vector<std::byte> received;
    bool gone = false;  // said farewell
    Clock::time_point heard, moved;
    std::uint64_t collectives = 0;
    std::uint32_t waiting_ms = 0;
  };

  void add_peer(int rank, UniqueFd socket);
  bool try_address(const std::string& host, const WatchAddress& address);
  void start();
  void run();
  void read_peers(int timeout_ms);
  void take(Peer& peer, const Message& message);
  void beat();
  void look_for_silence();
  void look_for_waits();
  void set_fault(int rank, std::string_view why, bool last_words = false);
  [[noreturn]] void throw_fault() const;
  Error fault() const;
  bool fault_of_another() const;
  Message message(std::uint32_t kind) const;
  void send_all(const Message& message) noexcept;
  std::uint32_t waiting_ms() const;

  const int rank_, size_;
  const WatchOptions options_;
  WatchAddress address_;
  UniqueFd listener_, wake_;
  std::vector<Peer> peers_;
  std::mutex send_mutex_;
  std::atomic<std::uint64_t> collectives_{0};
  std::atomic<std::int64_t> wait_began_ns_{0};  // 0: does not wait
  std::atomic<bool> stopping_{false}, faulty_{false};
  mutable std::mutex fault_mutex_;
  int fault_rank_ = -1;
  std::string fault_;
  bool last_words_ = false;  // of that rank itself: they end with a mend of their own
  std::thread thread_;
};

}  // namespace kiln
