#pragma once

#include <google/protobuf/stubs/logging.h>

namespace assent::fuzz {

// Protobuf says on stderr whatever it cannot parse: here that is every other input.
inline void BeQuiet() {
  static google::protobuf::LogHandler* const before = google::protobuf::SetLogHandler(nullptr);
  (void)before;
}

}  // namespace assent::fuzz
