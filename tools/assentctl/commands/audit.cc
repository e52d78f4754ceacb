#include "tools/assentctl/audit_view.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {

// Pages until there are as many as are wanted: the coordinator may answer with empty ones that have
// a successor.
Exit RunAudit(const AuditCommand& command, Session& session) {
  v1::ListAuditRequest request = command.request;
  const Style style = session.MakeStyle();
  if (command.since.count() > 0)
    request.set_since_unix_ms(style.now_unix_ms - command.since.count());
  v1::ListAuditReply shown;
  const auto wanted = static_cast<int>(request.page_size());
  do {
    if (!command.all_pages)
      request.set_page_size(static_cast<std::uint32_t>(wanted - shown.entries_size()));
    const auto page = session.service.ListAudit(request, session.options.call_timeout);
    if (!page.ok()) return session.Fail(page.status());
    const std::string& next = page->next_page_token();
    if (!next.empty() && next == request.page_token())
      return session.Fail(Internal("the coordinator answered with the same page token twice"));
    shown.MergeFrom(*page);
    shown.set_next_page_token(next);
    request.set_page_token(next);
  } while (!request.page_token().empty() && (command.all_pages || shown.entries_size() < wanted));
  session.console.Out(RenderAudit(shown, style));
  if (shown.entries_size() == 0) session.console.Err("nothing is on record\n");
  if (!shown.next_page_token().empty()) {
    session.console.Err("there are more: add --page-token " + Visible(shown.next_page_token()) +
                        " or --all-pages\n");
  }
  return Exit::kDone;
}

}  // namespace assent::ctl
