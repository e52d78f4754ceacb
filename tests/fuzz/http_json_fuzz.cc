// Bodies of the HTTP port and its answers, held against protobuf's own JSON. What we read protobuf
// reads as the same message; what we print is JSON, and protobuf reads the same message of it. And
// targets: what they are made into can be asked, or the refusal says something, as JSON.
//
//   what; of which message or route; then the text, the message's bytes, or the rest of the target
//   and the body

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <nlohmann/json.hpp>

#include <assent/limits.h>
#include <assent/status.h>

#include "coordinator/http/json.h"
#include "coordinator/http/printer.h"
#include "coordinator/http/reader.h"
#include "coordinator/http/routes.h"
#include "proto/parse/parse.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/quiet.h"

namespace assent::fuzz {
namespace {

using google::protobuf::Message;
using google::protobuf::util::MessageDifferencer;

std::unique_ptr<Message> New(const google::protobuf::Descriptor* type) {
  return std::unique_ptr<Message>(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
}

bool ReadByProtobuf(std::string_view text, Message& message) {
  return google::protobuf::util::JsonStringToMessage(
             google::protobuf::StringPiece(text.data(), text.size()), &message)
      .ok();
}

void CheckRefusal(const Status& status) {
  ASSENT_CHECK(status.code() == Code::kInvalidArgument && !status.message().empty());
  ASSENT_CHECK(nlohmann::json::parse(http::Failure(status).body)["message"].is_string());
}

// JSON without line feeds, which would end an event of a stream.
void CheckPrint(const Message& message) {
  const std::string text = http::PrintJson(message);
  ASSENT_CHECK(nlohmann::json::accept(text) && text.find('\n') == std::string::npos);
  const std::unique_ptr<Message> again = New(message.GetDescriptor());
  ASSENT_CHECK(ReadByProtobuf(text, *again));
  ASSENT_CHECK(MessageDifferencer::Equals(message, *again));
}

void ReadText(std::string_view text, Message& message) {
  const Status status = http::FromJson(text, message);
  if (!status.ok()) return CheckRefusal(status);
  const std::unique_ptr<Message> theirs = New(message.GetDescriptor());
  ASSENT_CHECK(ReadByProtobuf(text, *theirs));
  ASSENT_CHECK(MessageDifferencer::Equals(message, *theirs));
  CheckPrint(message);
}

// Messages of requests and of answers.
const std::vector<const google::protobuf::Descriptor*>& Types() {
  static const auto* const types = [] {
    auto* all = new std::vector<const google::protobuf::Descriptor*>;
    for (const http::Route& route : http::Routes()) {
      all->push_back(route.descriptor().input_type());
      all->push_back(route.descriptor().output_type());
    }
    return all;
  }();
  return *types;
}

void PrintWire(std::string_view bytes, Message& message) {
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  if (wire::FindBadText(*message.GetDescriptor(), bytes).count > 0) return;
  message.DiscardUnknownFields();
  CheckPrint(message);
}

// The path's parameters are `parameter` as it is.
std::string TargetOf(const http::Route& route, std::string_view parameter, std::string_view query) {
  std::string target;
  for (std::string_view rest = route.path; !rest.empty();) {
    const std::size_t open = rest.find('{');
    target += rest.substr(0, open);
    if (open == std::string_view::npos) break;
    target += parameter;
    rest.remove_prefix(rest.find('}') + 1);
  }
  return target + (query.empty() ? "" : "?") + std::string(query);
}

void Ask(std::string_view method, std::string_view target, std::string_view body) {
  const Result<http::Target> found = http::Find(method, target);
  if (!found.ok()) return CheckRefusal(found.status());
  if (found->route == nullptr) return;
  const Result<http::Asked> asked = http::Read(*found, body);
  if (!asked.ok()) return CheckRefusal(asked.status());
  ASSENT_CHECK(asked->request->GetDescriptor() == found->route->descriptor().input_type());
  CheckPrint(*asked->request);
}

void Try(Input in) {
  const std::size_t what = in.Below(4);
  const std::size_t which = in.Byte();
  const std::unique_ptr<Message> message = New(Types()[which % Types().size()]);
  switch (what) {
    case 0: return ReadText(in.Rest(), *message);
    case 1: return PrintWire(in.Rest(), *message);
    case 2: {
      const http::Route& route = http::Routes()[which % http::Routes().size()];
      const std::string_view parameter = in.Chunk();
      const std::string target = TargetOf(route, parameter, in.Chunk());
      return Ask(route.method, target, in.Rest());
    }
    default: {
      const std::string_view target = in.Chunk();
      return Ask((which & 1) != 0 ? "POST" : "GET", target, in.Rest());
    }
  }
}

}  // namespace
}  // namespace assent::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  assent::fuzz::BeQuiet();
  assent::fuzz::Try({data, size});
  return 0;
}
