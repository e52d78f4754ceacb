#pragma once

// How a client or a participant says who it is by a token, where the coordinator has rules.

#include <string>

namespace assent {

// Shown with every call and stream. All empty: the environment variables ASSENT_TOKEN or
// ASSENT_TOKEN_FILE, and ASSENT_TOKEN_OVER_PLAIN (1: yes); without those there is none. A token
// goes before a certificate.
struct TokenOptions {
  std::string token = {};
  // The file it stands in, instead: looked at before each call and each new stream, so that whoever
  // renews it writes it there. While it cannot be read the last one counts. A session that stands
  // is not asked again.
  std::string file = {};
  // Without this it is shown over TLS, to loopback addresses and Unix sockets alone, and an
  // endpoint elsewhere is kInvalidArgument: others on the way could read it.
  bool over_plain = false;
};

}  // namespace assent
