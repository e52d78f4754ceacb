#pragma once

// What there is to be allowed, and which of it each call needs: the one table of this. A test holds
// it against the descriptors, so that a call without a line here fails the build.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace assent::security {

enum class Permission : std::uint8_t {
  kBegin = 0,       // begin transactions, add to them, close them
  kFollow = 1,      // see one transaction: of an initiator's, his own
  kLook = 2,        // lists, causes, events, participants, figures, the cluster
  kOperate = 3,     // retry, abort, suspend, resume, resolve
  kReadRecord = 4,  // what people did
  kAdminister = 5,  // forget, drain, move, fence, back up
  kServe = 6,       // be a participant
  kHandOn = 7,      // be a coordinator
  kFindWay = 8,     // which coordinator has what
};
inline constexpr std::size_t kPermissionsCount = 9;

// "begin transactions", for people: what somebody may not.
std::string_view Name(Permission permission);

enum class Role : std::uint8_t {
  kInitiator = 0,
  kParticipant = 1,
  kViewer = 2,
  kOperator = 3,
  kAdmin = 4,
  kCoordinator = 5,
};
inline constexpr std::array<Role, 6> kRoles = {Role::kInitiator, Role::kParticipant,
                                               Role::kViewer,    Role::kOperator,
                                               Role::kAdmin,     Role::kCoordinator};

std::string_view Name(Role role);
std::optional<Role> RoleOf(std::string_view name);
bool Has(Role role, Permission permission);

struct CallRule {
  std::string_view method;  // as it is on the wire: "/assent.v1.TransactionService/Get"
  Permission needs;
};
std::span<const CallRule> CallRules();
// Nothing: there is no such call, and nobody may.
std::optional<Permission> NeededFor(std::string_view method);
// Of a call that is ours: "assent.v1.TransactionService", "Get". Without a line for it, the process
// ends.
Permission NeededBy(const std::string& service, const std::string& call);

}  // namespace assent::security
