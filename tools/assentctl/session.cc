#include "tools/assentctl/session.h"

#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

// What to try, for failures whose message cannot know it.
const char* Hint(Code code) {
  switch (code) {
    case Code::kNotFound: return "`assentctl list --all` shows what is kept";
    case Code::kPermissionDenied: return "ask for the role that this needs";
    case Code::kUnauthenticated: return "show who you are: with a certificate or a token";
    case Code::kUnimplemented: return "is this assentd older than this assentctl?";
    case Code::kOk:
    case Code::kResourceExhausted:
    case Code::kCancelled:
    case Code::kInvalidArgument:
    case Code::kDeadlineExceeded:
    case Code::kAlreadyExists:
    case Code::kFailedPrecondition:
    case Code::kAborted:
    case Code::kOutOfRange:
    case Code::kInternal:
    case Code::kUnavailable:
    case Code::kDataLoss:
    case Code::kElsewhere: return "";
    case Code::kUnknownOutcome: return "look with assentctl show, or list, before doing it again";
  }
  return "";
}

}  // namespace

Style Session::MakeStyle() const {
  Style style;
  style.output = options.output;
  style.time = options.time;
  style.color = surroundings.out_is_terminal && surroundings.colors_welcome && !options.no_color;
  style.columns = surroundings.out_is_terminal ? surroundings.columns : 0;
  style.now_unix_ms = console.NowUnixMs();
  return style;
}

Exit Session::Fail(const Status& status) const {
  console.Err(ErrorText(status));
  return ExitFor(status.code());
}

std::string ErrorText(const Status& status) {
  std::string text = "assentctl: " + Visible(status.message());
  const std::string hint = Hint(status.code());
  if (!hint.empty()) text += " (" + hint + ")";
  return text + "\n";
}

}  // namespace assent::ctl
