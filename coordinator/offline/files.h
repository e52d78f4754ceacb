#pragma once

// Files that are whole or not there.

#include <string>

#include <assent/status.h>

namespace assent::offline {

Status SyncFile(const std::string& path);
Status SyncFolder(const std::string& folder);
// A folder that its owner alone may enter. False: it is there, or cannot be made.
bool MakePrivateFolder(const std::string& folder);
// A file, if there is none, that its owner alone may read: whoever owns its folder, as far as we
// may say so. Who looks after a coordinator's files as root leaves it what is its own.
Status MakeOwned(const std::string& path);
// `from` gets the name `to`, durably, over nobody's. Both are of one folder.
Status PutInPlace(const std::string& from, const std::string& to);
// For a URI of SQLite's.
std::string UriOf(const std::string& path);

}  // namespace assent::offline
