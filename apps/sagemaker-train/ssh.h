// How hosts of a job reach each other by ssh: one pair of keys, which the image holds, is user's
// and server's key alike, so either side knows the other.
#pragma once

#include <cstdint>
#include <string>

#include "engine/core/file.h"

namespace kiln::sagemaker {

inline constexpr std::uint16_t kSshPort = 22;

// The pair of keys: id_ed25519 and id_ed25519.pub in $KILN_SSH_DIR, else in /etc/kiln/ssh.
class SshKey {
 public:
  // Throws Error (input or io) where there is no pair or this user may not read it.
  SshKey();
  const Path& file() const { return file_; }
  // "ssh-ed25519 AAAA...".
  const std::string& public_line() const { return public_line_; }
  // What only hosts with this key can say.
  std::string token() const;

 private:
  Path file_;
  std::string public_line_;
};

// A server of ssh on port 22 that lets in who has the key, and ends with this object.
class SshServer {
 public:
  // Throws Error (unsupported or io) where there is no sshd or it cannot be started.
  explicit SshServer(const SshKey& key);
  ~SshServer();
  SshServer(const SshServer&) = delete;
  SshServer& operator=(const SshServer&) = delete;

  // Waits until it listens. Throws Error (io) where it does not.
  void wait_until_ready();
  // Throws Error (io) where it has ended.
  void check();
  // The command that starts another one on a host: no file of ssh's own configuration is read, and
  // a host whose key is not the image's is not entered.
  std::string remote_shell() const;
  // For files that live as long as this object.
  const Path& folder() const { return folder_; }

 private:
  SshKey key_;
  Path folder_;  // configuration and lists of keys; removed at the end
  int process_ = -1;
};

}  // namespace kiln::sagemaker
