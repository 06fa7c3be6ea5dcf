#include "apps/sagemaker-train/ssh.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "apps/sagemaker-train/network.h"
#include "engine/comm/launch.h"
#include "engine/core/error.h"
#include "models/file_digest.h"

namespace kiln::sagemaker {
namespace {

using namespace std::chrono_literals;

constexpr const char* kKeyFile = "id_ed25519";
constexpr std::uint64_t kMaxPublicKey = 4096;
constexpr int kStartTries = 100;
constexpr auto kBetweenTries = 50ms;

Path key_folder() {
  const char* folder = std::getenv("KILN_SSH_DIR");
  return folder != nullptr && *folder != '\0' ? folder : "/etc/kiln/ssh";
}

// sshd must be started by its whole path, and root's PATH may leave its folder out.
std::string find_sshd() {
  if (std::string found = find_program("sshd"); !found.empty()) return found;
  for (const char* path : {"/usr/sbin/sshd", "/usr/local/sbin/sshd"})
    if (::access(path, X_OK) == 0) return path;
  throw Error(ErrorKind::unsupported, "sshd", "is not here, and a job of several hosts needs it",
              "install openssh-server, or use the image of docker/Dockerfile");
}

}  // namespace

SshKey::SshKey() : file_(key_folder() / kKeyFile) {
  const Path public_file = file_.string() + ".pub";
  for (const Path& path : {file_, public_file})
    if (::access(path.c_str(), R_OK) != 0)
      throw Error(ErrorKind::input, path.string(),
                  "cannot be read, and hosts of a job reach each other by this key",
                  "use one image with a pair of keys for all hosts, as docker/Dockerfile makes it, "
                  "and start it as root");
  public_line_ = read_text_file(public_file, kMaxPublicKey);
  public_line_.resize(std::min(public_line_.find('\n'), public_line_.size()));
}

std::string SshKey::token() const { return digest_file(file_.parent_path(), kKeyFile).sha256; }

SshServer::SshServer(const SshKey& key) : key_(key) {
  const std::string program = find_sshd();
  make_directories("/run/sshd");  // where sshd goes to be harmless
  // Below /run, because sshd takes no list of keys from a folder that others may write.
  std::string folder = "/run/kiln-train-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr)
    throw Error(ErrorKind::io, "/run", "takes no folder for sshd: " + errno_text(errno),
                "start the container as root");
  folder_ = folder;
  write_file_atomic(folder_ / "authorized_keys", key_.public_line() + "\n");
  write_file_atomic(folder_ / "known_hosts", "* " + key_.public_line() + "\n");
  write_file_atomic(folder_ / "sshd_config",
                    "Port " + std::to_string(kSshPort) + "\nHostKey " + key_.file().string() +
                        "\nAuthorizedKeysFile " + (folder_ / "authorized_keys").string() +
                        "\nAuthenticationMethods publickey\nPermitRootLogin prohibit-password\n"
                        "UsePAM no\nPidFile none\nLogLevel FATAL\nDisableForwarding yes\n"
                        "PermitUserRC no\nPermitUserEnvironment no\nMaxStartups 1000\n");
  process_ = start_program({program, "-D", "-e", "-f", (folder_ / "sshd_config").string()});
}

SshServer::~SshServer() {
  if (process_ > 0 && ::kill(process_, SIGTERM) == 0) ::waitpid(process_, nullptr, 0);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void SshServer::wait_until_ready() {
  for (int i = 0; i < kStartTries; ++i) {
    check();
    if (greets_as_ssh("127.0.0.1", kSshPort)) return;
    std::this_thread::sleep_for(kBetweenTries);
  }
  throw Error(ErrorKind::io, "sshd", "does not listen on port " + std::to_string(kSshPort));
}

void SshServer::check() {
  if (process_ > 0 && ::waitpid(process_, nullptr, WNOHANG) == 0) return;
  process_ = -1;
  throw Error(ErrorKind::io, "sshd",
              "has ended; its own line is in the log, and other hosts cannot start ranks here");
}

std::string SshServer::remote_shell() const {
  return "ssh -F none -p " + std::to_string(kSshPort) + " -i " + key_.file().string() +
         " -o IdentitiesOnly=yes -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=15"
         " -o LogLevel=ERROR -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=none"
         " -o UserKnownHostsFile=" +
         (folder_ / "known_hosts").string();
}

}  // namespace kiln::sagemaker
