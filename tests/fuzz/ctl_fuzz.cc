// What assentctl reads: files of people (a transaction to submit, a profile) and whatever a hostile
// server answers. Nothing crashes; nothing reaches a terminal but lines of text and its own
// colours; JSON is JSON, and what it says can be read back.
//
//   a byte: which kind; a byte: how it is shown; then the file, or the message as bytes of the wire

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include <assent/text.h>

#include "assent/v1/transaction.pb.h"
#include "proto/json/bytes.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/quiet.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/list_view.h"
#include "tools/assentctl/profile.h"
#include "tools/assentctl/resolve_text.h"
#include "tools/assentctl/server_view.h"
#include "tools/assentctl/session.h"
#include "tools/assentctl/show_view.h"
#include "tools/assentctl/submit_file.h"
#include "tools/assentctl/text.h"
#include "tools/assentctl/watch_view.h"

namespace assent::fuzz {
namespace {

using namespace ctl;

Style DrawStyle(Input& in) {
  const std::uint8_t how = in.Byte();
  Style style;
  style.output = static_cast<Output>((how & 7) % 6);
  style.time = (how & 8) != 0 ? TimeStyle::kIso : TimeStyle::kRelative;
  style.color = (how & 16) != 0;
  style.columns = (how & 32) != 0 ? 60 : 0;
  style.payloads = (how & 64) != 0;
  style.bytes = (how & 128) != 0 ? BytesStyle::kHex : BytesStyle::kBase64;
  style.now_unix_ms = 1'800'000'000'000;
  return style;
}

// Lines of text. Colours are our own: ESC [ digits and semicolons m, and only where they were asked
// for.
void CheckShown(std::string text, const Style& style) {
  for (std::size_t at = text.find('\x1b'); at != std::string::npos; at = text.find('\x1b', at)) {
    ASSENT_CHECK(style.color && style.table());
    const std::size_t end = text.find_first_not_of("0123456789;", at + 2);
    ASSENT_CHECK(text[at + 1] == '[' && end != std::string::npos && text[end] == 'm');
    text.erase(at, end + 1 - at);
  }
  if (!json::IsText(text)) std::fprintf(stderr, "not text: %s\n", Visible(text).c_str());
  ASSENT_CHECK(json::IsText(text));
  ASSENT_CHECK(EscapeUnseen(text, /*keep_line_feeds=*/true) == text);
  if (style.output == Output::kJson) ASSENT_CHECK(nlohmann::json::accept(text));
  if (style.output == Output::kJsonl) {
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = text.find('\n', begin);
      ASSENT_CHECK(end != std::string::npos);
      ASSENT_CHECK(nlohmann::json::accept(text.substr(begin, end - begin)));
      begin = end + 1;
    }
  }
}

void CheckMessage(const std::string& message) {
  ASSENT_CHECK(!message.empty());
  CheckShown(ErrorText(InvalidArgument(message)), Style{});
}

void SubmitFile(Input& in) {
  (void)in.Byte();
  const Result<v1::TransactionSpec> spec = ReadTransactionSpec(in.Rest(), "file");
  if (!spec.ok()) return CheckMessage(spec.status().message());
  ASSENT_CHECK(CheckSpec(*spec).ok());
  ASSENT_CHECK(v1::TransactionSpec().ParseFromString(spec->SerializeAsString()));
}

void Profile(Input& in) {
  const std::string profile = in.Flip() ? "prod" : "";
  GlobalOptions options;
  const Status applied = ApplyProfile(std::string(in.Rest()), "path", profile, options);
  if (!applied.ok()) return CheckMessage(applied.message());
  ASSENT_CHECK(NormalEndpoints(options.endpoint).ok());
  ASSENT_CHECK(json::IsText(options.endpoint));
  ASSENT_CHECK(options.call_timeout.count() >= 0);
}

template <typename Message>
bool Parse(Input& in, Message& message) {
  const std::string_view bytes = in.Rest();
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

void ShowTransaction(Input& in) {
  const Style style = DrawStyle(in);
  v1::Transaction transaction;
  if (!Parse(in, transaction)) return;
  CheckShown(RenderTransaction(transaction, style), style);
  Style lines = style;
  lines.output = Output::kTable;
  CheckShown(RenderOutcome(transaction, lines), lines);
  CheckShown(RenderChange(nullptr, transaction, lines), lines);
  v1::Transaction before = transaction;
  before.set_state(v1::ACTIVE);
  if (before.branches_size() > 0) before.mutable_branches()->RemoveLast();
  CheckShown(RenderChange(&before, transaction, lines), lines);
  CheckShown(RenderChange(&transaction, before, lines), lines);
  for (const v1::Branch& branch : transaction.branches()) {
    for (const v1::Decision resolution : {v1::DECISION_COMMIT, v1::DECISION_ABORT})
      CheckShown(ResolveMeaning(transaction, branch, resolution), lines);
  }
}

void ShowList(Input& in) {
  const Style style = DrawStyle(in);
  v1::ListReply page;
  if (Parse(in, page)) CheckShown(RenderList(page, style), style);
}

void ShowServer(Input& in) {
  const Style style = DrawStyle(in);
  if (in.Flip()) {
    v1::ListParticipantsReply reply;
    if (Parse(in, reply)) CheckShown(RenderParticipants(reply, style), style);
    return;
  }
  v1::ServerInfo info;
  if (!Parse(in, info)) return;
  CheckShown(RenderStats(info, style), style);
  CheckShown(RenderHealth(info, "127.0.0.1:7400", style), style);
}

void Error(Input& in) {
  const auto code = static_cast<Code>(1 + in.Below(8));
  CheckShown(ErrorText(Status(code, std::string(in.Rest()))), Style{});
}

}  // namespace
}  // namespace assent::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace assent::fuzz;
  BeQuiet();
  Input in(data, size);
  switch (in.Below(8)) {
    case 0:
    case 1: SubmitFile(in); break;
    case 2: Profile(in); break;
    case 3: ShowList(in); break;
    case 4: ShowServer(in); break;
    case 5: Error(in); break;
    default: ShowTransaction(in);
  }
  return 0;
}
