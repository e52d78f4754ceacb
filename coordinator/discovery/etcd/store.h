#pragma once

// What is asked of etcd, as blocking calls: of one endpoint, over one connection. grpc_store.h asks
// the real one.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <assent/status.h>

namespace assent::discovery::etcd {

// What stands under a prefix, as of a moment.
struct Listing {
  std::vector<std::string> values;  // by key; of the first ones, if there are many
  std::int64_t count = 0;           // of all
  std::int64_t revision = 0;
};

// What is watched: what changes under a prefix from a revision on.
struct Watched {
  std::string prefix;
  std::int64_t revision = 0;
};

// A failure says in words what is wrong. Whatever it is, another endpoint may do better.
class Store {
 public:
  virtual ~Store() = default;
  // As a majority of its members knows it. kPermissionDenied: that may not be read, though others
  // may.
  virtual Result<Listing> List(const std::string& prefix) = 0;
  // Until it ends, for whatever reason: there is always one. `changed` hears of each change, by
  // number. kOutOfRange: what was from one of the revisions on is forgotten; list it again.
  virtual Status Watch(const std::vector<Watched>& watched,
                       const std::function<void(std::size_t)>& changed) = 0;
  // Under a lease of so many seconds, which is returned. It is gone when nobody renews that.
  virtual Result<std::int64_t> Put(const std::string& key, const std::string& value,
                                   std::int64_t seconds) = 0;
  // kNotFound: it is over.
  virtual Status Renew(std::int64_t lease) = 0;
  virtual Status Revoke(std::int64_t lease) = 0;
  // Ends what is under way; all that is asked from then on fails. Any thread.
  virtual void Cancel() = 0;
};

using Dial = std::function<std::unique_ptr<Store>(const std::string& endpoint)>;

// The keys under a prefix are those from it on, up to this one: "/pay/" to "/pay0".
inline std::string EndOf(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(prefix.back() + 1);
  return prefix;
}

}  // namespace assent::discovery::etcd
