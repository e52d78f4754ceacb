#include <algorithm>

#include "tools/assentctl/cause_view.h"
#include "tools/assentctl/cluster_view.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/follow.h"
#include "tools/assentctl/list_view.h"
#include "tools/assentctl/participants.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

// One page with something on it, or the last one: the coordinator may answer with empty pages that
// have a successor.
Result<v1::ListReply> FetchPage(v1::ListRequest& request, Session& session) {
  while (true) {
    Result<v1::ListReply> page = session.service.List(request, session.options.call_timeout);
    if (!page.ok()) return page;
    const std::string& next = page->next_page_token();
    if (page->transactions_size() > 0 || next.empty()) return page;
    if (next == request.page_token()) {
      return Internal("the coordinator answered with the same page token twice: " + next);
    }
    request.set_page_token(next);
  }
}

bool IsFiltered(const v1::ListRequest& request) {
  return request.states_size() > 0 || request.protocol() != v1::PROTOCOL_UNSPECIFIED ||
         !request.service().empty() || request.labels_size() > 0 || !request.gid_prefix().empty() ||
         request.min_age_ms() > 0 || request.needs_operator() ||
         request.outcome() != v1::OUTCOME_UNSPECIFIED || !request.cause().empty();
}

// Of several coordinators.
template <typename Reply>
void SayWhatIsMissing(const Reply& shown, Session& session) {
  session.console.Err(
      SilentText(shown.silent(), "its unfinished transactions are not on the list"));
  if (shown.slots_left_out() > 0) {
    session.console.Err(Count(shown.slots_left_out(), "slot") +
                        " had no owner at that moment: what is unfinished there is not on the "
                        "list; try again\n");
  }
}

void Footer(const ListCommand& command, const v1::ListReply& shown, Session& session) {
  SayWhatIsMissing(shown, session);
  if (shown.transactions_size() == 0) {
    const bool everything = command.request.all() && !IsFiltered(command.request);
    session.console.Err(everything ? "no transactions\n"
                        : IsFiltered(command.request)
                            ? "no transaction matches\n"
                            : "nothing unfinished (--all shows finished ones too)\n");
  } else if (!shown.next_page_token().empty()) {
    session.console.Err("there are more: add --page-token " + Visible(shown.next_page_token()) +
                        " or --all-pages\n");
  }
}

// Pages of lines are printed as they come; documents and tables when complete.
bool IsStreamed(Output output) { return output == Output::kJsonl || output == Output::kId; }

Exit ListOnce(const ListCommand& command, Session& session) {
  v1::ListRequest request = command.request;
  v1::ListReply shown;
  while (true) {
    const Result<v1::ListReply> page = FetchPage(request, session);
    if (!page.ok()) return session.Fail(page.status());
    const Style style = session.MakeStyle();
    if (IsStreamed(style.output)) {
      session.console.Out(RenderList(page.value(), style));
      shown.clear_transactions();
    }
    const std::uint32_t left_out = std::max(shown.slots_left_out(), page->slots_left_out());
    shown.MergeFrom(page.value());
    shown.set_slots_left_out(left_out);
    shown.set_next_page_token(page.value().next_page_token());
    if (!command.all_pages || shown.next_page_token().empty()) break;
    if (shown.next_page_token() == request.page_token()) {
      return session.Fail(Internal("the coordinator answered with the same page token twice"));
    }
    request.set_page_token(shown.next_page_token());
  }
  const Style style = session.MakeStyle();
  if (!IsStreamed(style.output)) session.console.Out(RenderList(shown, style));
  Footer(command, shown, session);
  return Exit::kDone;
}

Exit CountOnce(const ListCommand& command, Session& session) {
  v1::ListCausesRequest request = CausesRequestOf(command.request);
  request.set_by_service(command.group_by == GroupBy::kService);
  const auto causes = session.service.ListCauses(request, session.options.call_timeout);
  if (!causes.ok()) return session.Fail(causes.status());
  const Style style = session.MakeStyle();
  const bool look = style.table() && HasAbsent(*causes);
  session.console.Out(RenderCauses(*causes, style, look ? FetchAlikes(session) : Alikes()));
  SayWhatIsMissing(*causes, session);
  if (causes->total() == 0) {
    session.console.Err(IsFiltered(command.request) ? "no transaction matches\n"
                                                    : "nothing unfinished\n");
  } else if (style.table()) {
    session.console.Err(CausesFooter(*causes));
  }
  return Exit::kDone;
}

}  // namespace

Exit RunList(const ListCommand& command, Session& session) {
  const auto once = [&] {
    return command.group_by == GroupBy::kNothing ? ListOnce(command, session)
                                                 : CountOnce(command, session);
  };
  return command.watch ? Repeat(command.interval, once, session) : once();
}

}  // namespace assent::ctl
