#include "participant-sdk/cpp/src/version.h"

namespace assent::internal {

const char* AgentName() { return "assent-cpp/" ASSENT_VERSION; }

}  // namespace assent::internal
