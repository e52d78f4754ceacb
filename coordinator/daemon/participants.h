#pragma once

// Participants that are dialled, by the settings: each address by the library that its scheme is
// for, and names by who is asked for them (coordinator/discovery).

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "coordinator/daemon/certificates.h"
#include "coordinator/daemon/config.h"
#include "coordinator/discovery/directory.h"
#include "coordinator/discovery/dns/resolver.h"
#include "coordinator/discovery/etcd/resolver.h"
#include "coordinator/transport/switchboard.h"

namespace assent::daemon {

// Of --config.
inline constexpr std::size_t kMaxConfigFileBytes = std::size_t{1} << 20;
// Of --unary-secrets-file.
inline constexpr std::size_t kMaxUnarySecretsFileBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMinUnarySecretBytes = 16;
inline constexpr std::size_t kMaxUnarySecretBytes = 4096;

// By service. What is wrong names the line, and repeats nothing of it but the name.
using UnarySecrets = std::map<std::string, std::string>;
Result<UnarySecrets> ParseUnarySecrets(std::string_view text);
// Those of --unary-secrets-file, if there is one: of each service that is reached over HTTP, and of
// no other.
Result<UnarySecrets> ReadUnarySecrets(const Config& config);

// What files say of how participants are dialled, and found.
struct Ways {
  UnarySecrets secrets = {};
  discovery::etcd::Dial etcd = {};  // one of its endpoints
};
// `certificates` outlives them.
Result<Ways> OpenWays(const Config& config, const Certificates& certificates);

// Addresses of --unary that are URLs, or names of such.
std::size_t CountHttpParticipants(const Config& config);

// All that dials. It goes before the board, and nobody may send on that any more.
class Participants {
 public:
  // `certificates` and `board` outlive it.
  Participants(const Config& config, const Certificates& certificates, Ways ways,
               transport::Switchboard& board);
  ~Participants();
  void Open(std::uint32_t coordinator_id);

 private:
  struct Dialled;

  // Of those who know, for each name.
  void Ask(const Config& config, discovery::etcd::Dial etcd);
  void AskDns(const Config& config, const std::vector<discovery::Name>& names);
  void Take(std::size_t name, const Result<std::vector<discovery::Place>>& found,
            const std::string& left_out = {}) ASSENT_EXCLUDES(mutex_);
  // It is dialled where it is known to be.
  void Redial(const std::string& service) ASSENT_REQUIRES(mutex_);
  // One of them is not where it is said to be.
  void Doubt(const std::string& service) ASSENT_EXCLUDES(mutex_);

  transport::Switchboard& board_;
  Mutex mutex_;
  discovery::Directory directory_ ASSENT_GUARDED_BY(mutex_);
  // Who is asked for a name, and its number there.
  struct Asked {
    discovery::Name::Registry registry;
    std::size_t number;
  };
  std::vector<Asked> asked_;                         // of each name; fixed before anybody is asked
  std::vector<std::size_t> of_dns_;                  // their names
  std::vector<std::size_t> of_etcd_;                 // likewise
  std::unique_ptr<discovery::dns::Resolver> dns_;    // nullptr: it has no name
  std::unique_ptr<discovery::etcd::Resolver> etcd_;  // likewise
  // By each library that any of them needs. They ask the resolvers to look again.
  std::vector<std::unique_ptr<Dialled>> dialled_;
};

}  // namespace assent::daemon
