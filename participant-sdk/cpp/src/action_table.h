#pragma once

// Everything a participant has registered, as one Resource.

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <assent/call.h>
#include <assent/resource.h>
#include <assent/status.h>
#include <assent/thread_safety.h>

namespace assent::internal {

// Filled before it is used, then read by many threads.
class ActionTable final : public Resource {
 public:
  // A mistake is kept for status(). `undo` or `finish` may be null where `optional` allows it.
  void Add(Protocol protocol, std::string action, Handler forward, Handler finish, Handler undo);
  void Attach(Resource& resource);
  // The first mistake of a registration.
  const Status& status() const { return status_; }
  Status Registration() const override { return status_; }

  // Is there a plain handler for it, which must run on a worker? Everything else Execute answers
  // without blocking.
  bool IsPlain(const Call& call) const;

  std::vector<OfferedAction> Actions() const override;
  // A plain handler runs here and now. An action that is not known is left to be asked again: never
  // refused, never done.
  void Execute(Call call, Responder respond) override;
  std::vector<HeldBranch> Questions(std::size_t limit) override;
  void Answer(const HeldBranch& branch, Verdict verdict, bool finished) override;

 private:
  struct Entry {
    Resource* resource = nullptr;  // or the handlers:
    Handler forward;
    Handler finish;
    Handler undo;
  };
  using Key = std::pair<Protocol, std::string>;
  void Insert(Protocol protocol, std::string action, Entry entry);
  void Mistake(const std::string& text);
  static Reply Run(const Entry& entry, const Call& call);
  static Reply RunOnePhase(const Entry& entry, const Call& call);

  std::map<Key, Entry> entries_;
  std::vector<Resource*> resources_;
  Status status_;

  // Which resource asked about a branch, in its latest round of questions. Only with several
  // resources.
  Mutex mutex_;
  std::map<std::pair<std::string, std::string>, Resource*> askers_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::internal
