#pragma once

// What others of this machine could do with the files of ours.

#include <string>
#include <vector>

#include "coordinator/daemon/config.h"

namespace assent::daemon {

// A file or folder that others can do more with than they should, and what is wrong: secrets and
// the data that others can read, and what says who may what that others can write.
struct OpenFile {
  std::string path;
  std::string why;
};
std::vector<OpenFile> OpenFiles(const Config& config);
// In the log, a line for each. It is left as it is: it may be meant so.
void WarnOfOpenFiles(const Config& config);

}  // namespace assent::daemon
