#pragma once

// Participants that are dialled, by the settings: each address by the library that its scheme is
// for.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <assent/status.h>

#include "coordinator/daemon/certificates.h"
#include "coordinator/daemon/config.h"
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

// Addresses of --unary that are URLs.
std::size_t CountHttpParticipants(const Config& config);

// All that dials. It goes before the board, and nobody may send on that any more.
class Participants {
 public:
  // `certificates` and `board` outlive it.
  Participants(const Config& config, const Certificates& certificates, UnarySecrets secrets,
               transport::Switchboard& board);
  ~Participants();
  void Open(std::uint32_t coordinator_id);

 private:
  struct Dialled;
  std::unique_ptr<Dialled> grpc_;
  std::unique_ptr<Dialled> http_;
};

}  // namespace assent::daemon
