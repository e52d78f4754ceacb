#include "coordinator/offline/opener.h"

#include <set>

namespace assent::offline {

RowOpener::Opened RowOpener::Open(const log::WalkedRow& row) {
  using Field = crypt::Place::Field;
  Opened opened{.spec = row.spec, .state = row.state};
  std::set<std::string> under;
  struct Value {
    Field field;
    const std::string& stored;
    std::string& opened;
    const char* name;
  };
  for (const Value& value : {Value{Field::kSpec, row.spec, opened.spec, "its spec is "},
                             Value{Field::kState, row.state, opened.state, "its state is "}}) {
    const crypt::Cover cover = crypt::CoverOf(value.stored);
    under.insert(!cover.sealed ? std::string(crypt::kPlaintext)
                 : cover.whole ? std::string(cover.key_id)
                               : "?");
    const auto fault = sealer_.Open(*keys_, PlaceOf(value.field, row.gid), value.opened);
    if (fault == crypt::SealFault::kNone || !opened.why_not.empty()) continue;
    opened.why_not = value.name + crypt::Describe(fault, cover.key_id);
    opened.lacks_key = fault != crypt::SealFault::kForged;
  }
  for (const std::string& key : under) ++counts_[key];
  return opened;
}

std::string RowOpener::SealState(const std::string& gid, const std::string& state) {
  const crypt::Key* key = keys_->active();
  return key == nullptr ? state
                        : sealer_.Seal(*key, PlaceOf(crypt::Place::Field::kState, gid), state);
}

}  // namespace assent::offline
