// Messages as JSON and back: the same as protobuf's own library has them, but strict, and no more
// is read than a message may have.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "assent/v1/batch.pb.h"
#include "assent/v1/transaction.pb.h"
#include "coordinator/http/printer.h"
#include "coordinator/http/reader.h"

namespace assent::http {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int kDraws = 40;

const std::vector<std::string>& Texts() {
  static const auto* const texts = new std::vector<std::string>{
      "",
      "a",
      "order:17",
      "\"quoted\" \\ </script>",
      "tab\tline\nreturn\r",
      std::string("nul\0", 4),
      "\x01\x1f\x7f",
      "gr\u00fc\u00dfe, \u4e16\u754c \U0001f600",
      "\u202eturned\u2028\u200d\u009b",
  };
  return *texts;
}

class Draw {
 public:
  explicit Draw(std::uint32_t seed) : random_(seed) {}
  std::size_t Below(std::size_t n) { return random_() % n; }

  // Each field, or not.
  void Fill(Message& message, int depth = 0) {
    const Descriptor& type = *message.GetDescriptor();
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor* const field = type.field(i);
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && depth > 3) continue;
      for (std::size_t n = Below(field->is_repeated() ? 4 : 2); n > 0; --n) {
        if (field->is_map()) {
          FillEntry(*message.GetReflection()->AddMessage(&message, field), n);
        } else {
          FillOne(message, field, depth);
        }
      }
    }
  }

 private:
  void FillEntry(Message& entry, std::size_t number) {
    const auto* const type = entry.GetDescriptor();
    const Reflection& to = *entry.GetReflection();
    to.SetString(&entry, type->map_key(), "k" + std::to_string(number) + Texts()[Below(3)]);
    to.SetString(&entry, type->map_value(), Texts()[Below(Texts().size())]);
  }
  template <typename Number>
  Number Any() {
    const Number all[] = {0, 1, 7, std::numeric_limits<Number>::min(),
                          std::numeric_limits<Number>::max()};
    return all[Below(5)];
  }
  void FillOne(Message& message, const FieldDescriptor* field, int depth) {
    const Reflection& to = *message.GetReflection();
    const auto put = [&](auto set, auto add, auto value) {
      field->is_repeated() ? (to.*add)(&message, field, std::move(value))
                           : (to.*set)(&message, field, std::move(value));
    };
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return put(&Reflection::SetInt32, &Reflection::AddInt32, Any<std::int32_t>());
      case FieldDescriptor::CPPTYPE_INT64:
        return put(&Reflection::SetInt64, &Reflection::AddInt64, Any<std::int64_t>());
      case FieldDescriptor::CPPTYPE_UINT32:
        return put(&Reflection::SetUInt32, &Reflection::AddUInt32, Any<std::uint32_t>());
      case FieldDescriptor::CPPTYPE_UINT64:
        return put(&Reflection::SetUInt64, &Reflection::AddUInt64, Any<std::uint64_t>());
      case FieldDescriptor::CPPTYPE_BOOL:
        return put(&Reflection::SetBool, &Reflection::AddBool, Below(2) == 1);
      case FieldDescriptor::CPPTYPE_ENUM:
        return put(&Reflection::SetEnumValue, &Reflection::AddEnumValue,
                   std::vector<int>{0, 1, 2, 99}[Below(4)]);
      case FieldDescriptor::CPPTYPE_STRING: {
        std::string text = Texts()[Below(Texts().size())];
        if (field->type() == FieldDescriptor::TYPE_BYTES) text += "\xff\x00\x7e";
        return put(&Reflection::SetString, &Reflection::AddString, text);
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Fill(field->is_repeated() ? *to.AddMessage(&message, field)
                                         : *to.MutableMessage(&message, field),
                    depth + 1);
      case FieldDescriptor::CPPTYPE_FLOAT:
      case FieldDescriptor::CPPTYPE_DOUBLE: break;
    }
    FAIL() << "assent.v1 has no such fields: " << field->full_name();
  }

  std::mt19937 random_;
};

std::unique_ptr<Message> New(const Descriptor* type) {
  return std::unique_ptr<Message>(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
}

// Every message that the calls have, one way or the other.
void ForEach(const std::function<void(const Descriptor*)>& look) {
  for (const auto* file :
       {v1::SubmitRequest::descriptor()->file(), v1::BatchRequest::descriptor()->file()}) {
    const auto* const service = file->service(0);
    for (int i = 0; i < service->method_count(); ++i) {
      look(service->method(i)->input_type());
      look(service->method(i)->output_type());
    }
  }
}

std::string Theirs(const Message& message, bool names_of_the_proto = false) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = names_of_the_proto;
  std::string text;
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(message, &text, options).ok());
  return text;
}

bool Same(const Message& a, const Message& b) {
  return google::protobuf::util::MessageDifferencer::Equals(a, b);
}

TEST(Mapping, IsThatOfProtobufsOwnLibrary) {
  std::uint32_t seed = 0;
  ForEach([&seed](const Descriptor* type) {
    for (int n = 0; n < kDraws; ++n) {
      Draw draw(++seed);
      const auto message = New(type);
      draw.Fill(*message);
      const std::string ours = PrintJson(*message);
      const auto json = nlohmann::json::parse(ours, nullptr, false);
      ASSERT_EQ(json, nlohmann::json::parse(Theirs(*message))) << ours;
      for (const std::string& text : {ours, Theirs(*message), Theirs(*message, true)}) {
        const auto back = New(type);
        ASSERT_EQ(ReadJson(text, *back), OkStatus()) << text;
        ASSERT_TRUE(Same(*message, *back)) << text;
      }
      const auto back = New(type);
      ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(ours, back.get()).ok());
      ASSERT_TRUE(Same(*message, *back)) << ours;
    }
  });
}

TEST(Mapping, WhatNobodySeesIsEscapedAndMapsHaveAnOrder) {
  v1::SubmitReply reply;
  reply.set_abort_reason("</\u202e\x7f\n\"\xff");
  (*reply.mutable_results())["b"] = "x";
  (*reply.mutable_results())["a"] = "\xff\xff";
  const std::string text = PrintJson(reply);
  EXPECT_NE(text.find(R"("abortReason":"\u003c/\u202e\u007f\u000a\"?")"), std::string::npos)
      << text;
  EXPECT_NE(text.find(R"("results":{"a":"//8=","b":"eA=="})"), std::string::npos) << text;
}

std::string Said(std::string_view text) {
  v1::TransactionSpec spec;
  return ReadJson(text, spec).message();
}

TEST(Mapping, ScalarsInAllTheirForms) {
  v1::TransactionSpec spec;
  ASSERT_EQ(ReadJson(R"( {"gid" : "\u0061\/\ud83d\ude00", "deadlineMs": 60000, "ordering": 2,
      "branches": [{"protocol": "SAGA", "payload": "-_8", "pivot": true, "after": ["1", "2"],
                    "retry": {"max_attempts": 1e3, "initialBackoffMs": "7", "maxBackoffMs": 2.0},
                    "headers": {"": "x"}, "service": null}], "labels": {}} )",
                     spec),
            OkStatus());
  EXPECT_EQ(spec.gid(), "a/\U0001f600");
  EXPECT_EQ(spec.deadline_ms(), 60000);
  EXPECT_EQ(spec.ordering(), v1::ORDERING_DECLARED);
  const v1::BranchSpec& branch = spec.branches(0);
  EXPECT_EQ(branch.protocol(), v1::SAGA);
  EXPECT_EQ(branch.payload(), "\xfb\xff");
  EXPECT_EQ(branch.after_size(), 2);
  EXPECT_EQ(branch.retry().max_attempts(), 1000U);
  EXPECT_EQ(branch.retry().initial_backoff_ms(), 7);
  EXPECT_EQ(branch.retry().max_backoff_ms(), 2);
  EXPECT_EQ(branch.headers().at(""), "x");
  EXPECT_EQ(branch.service(), "");
}

// Protobuf's own parser takes most of these.
TEST(Mapping, WhatIsNotJsonIsRefusedWithItsPlace) {
  const std::string no_json = "the body is no JSON: parse error at line ";
  for (const auto& [text, at] :
       std::vector<std::pair<std::string, std::string>>{{"{'gid': \"g\"}", "1, column 2:"},
                                                        {"{\"gid\": 'g'}", "1, column 9:"},
                                                        {"{gid: \"g\"}", "1, column 2:"},
                                                        {"{\"gid\": \"g\",}", "1, column 13:"},
                                                        {"{\"branches\": [{},\n]}", "2, column 1:"},
                                                        {"{\"gid\": \"g\"} {}", "1, column 14:"},
                                                        {"{\n// why\n}", "2, column 1:"},
                                                        {"/* why */ {}", "1, column 1:"},
                                                        {"{\"deadlineMs\": 01}", "1, column 17:"},
                                                        {"{\"deadlineMs\": +1}", "1, column 16:"},
                                                        {"{\"deadlineMs\": NaN}", "1, column 16:"},
                                                        {"{\"deadlineMs\": 0x10}", "1, column 17:"},
                                                        {"{\"gid\": \"a\tb\"}", "1, column 11:"},
                                                        {"{\"gid\": \"\xff\"}", "1, column 10:"},
                                                        {"{\"gid\": \"\\ud800\"}", "1, column 16:"},
                                                        {"{\"gid\": \"\\x41\"}", "1, column 11:"},
                                                        {"{\"gid\": ", "1, column 9:"},
                                                        {"", "1, column 1:"}}) {
    EXPECT_EQ(Said(text).find(no_json + at), 0U) << text << "\n" << Said(text);
    EXPECT_EQ(Said(text).find("json.exception"), std::string::npos);
    EXPECT_LT(Said(text).size(), 500U);
  }
  EXPECT_LT(Said("{\"gid\": \"" + std::string(1'000'000, 'x')).size(), 500U);
}

TEST(Mapping, WhatTheMessageDoesNotHaveIsRefusedWithItsPlace) {
  for (const auto& [text, said] : std::vector<std::pair<std::string, std::string>>{
           {"[]", "the body is a list: it takes an object"},
           {"null", "the body is null: it takes an object"},
           {"\"g\"", "the body is \"g\": it takes an object"},
           {"7", "the body is 7: it takes an object"},
           {R"({"gid": "a", "gid": "b"})", "gid is there twice"},
           {R"({"deadlineMs": 1, "deadline_ms": 1})", "deadline_ms is there twice"},
           {R"({"branches": [], "branches": []})", "branches is there twice"},
           {R"({"labels": {"a": "1", "a": "1"}})", "labels has \"a\" twice"},
           {R"({"branches": [null]})", "branches[0] is null: it takes an object"},
           {R"({"branches": [{"after": ["1", null]}]})",
            "branches[0].after[1] is null: it takes a text in quotes"},
           {R"({"labels": {"a": null}})", "labels[a] is null: it takes a text in quotes"},
           {R"({"labels": []})", "labels is a list: it takes an object"},
           {R"({"labels": "x"})", "labels is \"x\": it takes an object"},
           {R"({"branches": {}})", "branches is an object: it takes a list"},
           {R"({"branches": [[]]})", "branches[0] is a list: it takes an object"},
           {R"({"branches": ["x"]})", "branches[0] is \"x\": it takes an object"},
           {R"({"gid": 7})", "gid is 7: it takes a text in quotes"},
           {R"({"gid": true})", "gid is true: it takes a text in quotes"},
           {R"({"gid": {}})", "gid is an object: it takes a text in quotes"},
           {R"({"branches": [{}, {"pivot": "true"}]})",
            "branches[1].pivot is \"true\": it takes true or false"},
           {R"({"branches": [{"pivot": 1}]})", "branches[0].pivot is 1: it takes true or false"},
           {R"({"deadlineMs": "x"})", "deadline_ms is \"x\": it takes a number"},
           {R"({"deadlineMs": ""})", "deadline_ms is \"\": it takes a number"},
           {R"({"deadlineMs": 1.5})", "deadline_ms is 1.5: it takes a number"},
           {R"({"deadlineMs": 9223372036854775808})",
            "deadline_ms is 9223372036854775808: it takes a number"},
           {R"({"branches": [{"retry": {"maxAttempts": -1}}]})",
            "branches[0].retry.max_attempts is -1: it takes a number from 0 to 4294967295"},
           {R"({"branches": [{"protocol": "saga"}]})",
            "branches[0].protocol is \"saga\": it takes a value of assent.v1.Protocol, such as "
            "TWO_PHASE"},
           {R"({"branches": [{"payload": "eA="}]})",
            "branches[0].payload: base64 comes in groups of four characters"},
           {R"({"branches": [{"payload": "e!=="}]})", "branches[0].payload: not base64: 'e!=='"},
           {R"({"branches": [{"payload": 7}]})",
            "branches[0].payload is 7: it takes base64 in quotes"},
           {R"({"slice": 7})",
            "the body has no field \"slice\": it takes gid, branches, ordering, deadline_ms, "
            "labels"},
           {R"({"branches": [{"x": 7}]})",
            "branches[0] has no field \"x\": it takes branch_id, "}}) {
    EXPECT_EQ(Said(text).find(said), 0U) << text << "\n" << Said(text);
  }
}

std::string Repeated(const std::string& head, const std::string& one, std::size_t count,
                     const std::string& tail) {
  std::string text = head;
  for (std::size_t i = 0; i < count; ++i) text += (i > 0 ? "," : "") + one;
  return text + tail;
}
std::string Pairs(const std::string& head, std::size_t count, const std::string& tail) {
  std::string text = head;
  for (std::size_t i = 0; i < count; ++i)
    text += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + "\":\"v\"";
  return text + tail;
}

// A body of 6 MB of empty branches was 1.8 GB of messages before anybody counted them.
TEST(Mapping, NoMoreIsReadThanAMessageMayHave) {
  EXPECT_EQ(Said(Repeated("{\"branches\":[", "{}", 128, "]}")), "");
  EXPECT_EQ(Said(Pairs("{\"labels\":{", 16, "}}")), "");
  EXPECT_EQ(Said(Pairs("{\"branches\":[{\"headers\":{", 16, "}}]}")), "");
  EXPECT_EQ(Said(Repeated("{\"branches\":[{\"after\":[", "\"1\"", 128, "]}]}")), "");
  // Nothing of what comes behind is looked at.
  EXPECT_EQ(Said(Repeated("{\"branches\":[", "{}", 129, " this is no JSON")),
            "branches has more than 128 entries, which is the limit");
  EXPECT_EQ(Said(Pairs("{\"labels\":{", 17, "}}")),
            "labels has more than 16 entries, which is the limit");
  EXPECT_EQ(Said(Pairs("{\"branches\":[{},{\"headers\":{", 17, "}}]}")),
            "branches[1].headers has more than 16 entries, which is the limit");
  EXPECT_EQ(Said(Repeated("{\"branches\":[{\"after\":[", "\"1\"", 129, "]}]}")),
            "branches[0].after has more than 128 entries, which is the limit");
  // Depth is that of the message.
  EXPECT_EQ(Said(std::string(1'000'000, '[')), "the body is a list: it takes an object");
}

}  // namespace
}  // namespace assent::http
