// What the hosts of a job tell each other beside MPI: every worker keeps a connection to the leader
// while the job lasts. Lines of text:
//
//   worker -> leader   hello TOKEN HOST     once, when the worker's sshd listens
//                      stop                 the platform has asked this host to stop
//   leader -> worker   welcome | refused WHY
//                      end CODE CAUSE       how the job ended, for all hosts
//
// A connection that closes before `end` is a host that has died, on either side.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/comm/sockets.h"
#include "engine/core/file.h"

namespace kiln::sagemaker {

// What SM_MASTER_PORT says to scripts, none of which runs here.
inline constexpr std::uint16_t kLinkPort = 7777;

using StopAsked = std::function<bool()>;

// Lines over a socket that never blocks.
class LineSocket {
 public:
  explicit LineSocket(UniqueFd socket);
  // The next line, if a whole one has come. Without one, closed() tells whether any can come.
  std::optional<std::string> next();
  bool closed() const { return closed_; }
  // Lines are short and few: one that does not fit into the socket's buffer closes it.
  void send(const std::string& line) noexcept;
  int get() const { return socket_.get(); }

 private:
  UniqueFd socket_;
  std::string received_;
  bool closed_ = false;
};

// How a job ended.
struct JobEnd {
  int code = 0;
  std::string cause;  // one line; empty where it went well
};

class LeaderLink {
 public:
  // `hosts`: all of them, the first leads. `token`: what only hosts of one image know. `port`: 0
  // takes any. Throws Error (io).
  LeaderLink(std::vector<std::string> hosts, std::string token, std::uint16_t port = kLinkPort);
  // Takes in all workers; false where stop_asked() said so, or a worker was asked to stop. Throws
  // Error (io) naming the hosts that did not come within the deadline, or one that went again.
  bool gather(std::chrono::seconds deadline, const StopAsked& stop_asked);
  std::uint16_t port() const { return static_cast<std::uint16_t>(listener_.port); }
  // Hears what workers say; waits for it at most so long.
  void look(std::chrono::milliseconds time);
  bool stop_asked() const { return stop_asked_; }
  // The first host that has died; empty: none.
  const std::string& lost() const { return lost_; }
  // Tells all workers, and waits some seconds for them to have read it.
  void tell(const JobEnd& end);

 private:
  struct Peer {
    LineSocket socket;
    std::string host;  // empty: has not said hello
  };
  bool has_room() const;
  void accept_all();
  void take(Peer& peer, const std::string& line);
  void welcome(Peer& peer, std::string_view hello);
  std::vector<std::string> missing() const;

  const std::vector<std::string> hosts_;
  const std::string token_;
  comm::Listener listener_;
  std::vector<Peer> peers_;
  bool stop_asked_ = false;
  std::string lost_;
};

class WorkerLink {
 public:
  // Reaches the leader, whose name may not resolve and whose port may not listen yet; nothing where
  // stop_asked() said so. Throws Error (io) naming the leader where it does not come within the
  // deadline or refuses this host.
  static std::optional<WorkerLink> reach(const std::string& leader, const std::string& own,
                                         const std::string& token, std::chrono::seconds deadline,
                                         const StopAsked& stop_asked,
                                         std::uint16_t port = kLinkPort);
  // The job's end, waited for at most so long; nothing where it has not come. Throws Error (io)
  // where the leader has died.
  std::optional<JobEnd> end(std::chrono::milliseconds time);
  void ask_to_stop() noexcept { socket_.send("stop"); }

 private:
  WorkerLink(LineSocket socket, std::string leader)
      : socket_(std::move(socket)), leader_(std::move(leader)) {}
  bool is_welcome(std::chrono::steady_clock::time_point until);

  LineSocket socket_;
  std::string leader_;
};

}  // namespace kiln::sagemaker
