#pragma once

// What goes over a network in the clear, or to somebody who is not known, and is said at the start.

#include <string>

#include "coordinator/daemon/config.h"

namespace assent::daemon {

// Participants that --unary names without tls:, elsewhere, where this coordinator has TLS: nobody
// looks who they are, and what they are sent can be read on the way. In a warning.
void WarnOfPlainParticipants(const Config& config);

// Likewise etcd on another machine without TLS: whoever is on the way says where participants are.
void WarnOfPlainEtcd(const Config& config);

// All of them, and the receivers of events and spans.
void WarnOfExposure(const Config& config);

// Who answers at another coordinator's host has not its role: an error, and nothing is sent there.
// `name` is empty: it is nobody that a rule could name.
void TellStranger(const std::string& host, const std::string& name);

}  // namespace assent::daemon
