// Bytes that ought to be a message, into what says why they are none (proto/parse). Nothing is read
// or written beyond them; what can be followed to its end parses once its texts are mended; mending
// changes no length, no other byte, and nothing twice.

#include <cstdint>
#include <string>

#include <assent/status.h>

#include "assent/v1/participant.pb.h"
#include "assent/v1/transaction.pb.h"
#include "proto/parse/parse.h"
#include "tests/fuzz/quiet.h"

namespace assent::fuzz {
namespace {

template <typename Message>
void Try(const std::string& bytes) {
  const google::protobuf::Descriptor& type = *Message::descriptor();
  const wire::BadText bad = wire::FindBadText(type, bytes);
  std::string mended = bytes;
  const wire::BadText again = wire::MendText(type, mended);
  ASSENT_CHECK(again.count == bad.count && again.fields == bad.fields && again.whole == bad.whole);
  ASSENT_CHECK(mended.size() == bytes.size() && (bad.count > 0 || mended == bytes));
  for (std::size_t i = 0; i < bytes.size(); ++i)
    ASSENT_CHECK(mended[i] == bytes[i] || (mended[i] == '?' && (bytes[i] & 0x80) != 0));
  ASSENT_CHECK(wire::FindBadText(type, mended).count == 0);
  Message parsed;
  ASSENT_CHECK(parsed.ParseFromString(mended) == bad.whole);
  Message first;
  const Status status = wire::Parse(bytes, "the request", first);
  ASSENT_CHECK(status.ok() || status.code() == Code::kInvalidArgument);
  if (bad.count == 0) ASSENT_CHECK(status.ok() == bad.whole);
  if (status.ok()) ASSENT_CHECK(bad.whole);
}

}  // namespace
}  // namespace assent::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace assent::v1;
  assent::fuzz::BeQuiet();
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 3) {
    case 0: assent::fuzz::Try<SubmitRequest>(bytes); break;
    case 1: assent::fuzz::Try<ParticipantFrame>(bytes); break;
    default: assent::fuzz::Try<Transaction>(bytes); break;
  }
  return 0;
}
