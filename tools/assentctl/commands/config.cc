// What a coordinator runs with.

#include <algorithm>

#include "tools/assentctl/commands.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/table.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {

Exit RunConfigShow(const ConfigShowCommand& command, Session& session) {
  Result<v1::Settings> settings = session.service.GetSettings(session.options.call_timeout);
  if (!settings.ok()) return session.Fail(settings.status());
  if (command.changed) {
    auto& all = *settings->mutable_settings();
    const auto at_default = [](const v1::Setting& one) { return one.source() == "default"; };
    all.erase(std::remove_if(all.begin(), all.end(), at_default), all.end());
  }
  const Style style = session.MakeStyle();
  if (style.output == Output::kId || style.output == Output::kJsonl) {
    for (const v1::Setting& one : settings->settings())
      session.console.Out(style.output == Output::kId ? one.name() + "\n"
                                                      : LineJson(ToJson(one, {})));
    return Exit::kDone;
  }
  if (!style.table()) {
    const Json json = ToJson(*settings, {});
    session.console.Out(style.output == Output::kYaml ? Yaml(json) : PrettyJson(json));
    return Exit::kDone;
  }
  Table table({"SETTING", "FROM", "SIGHUP", "VALUE"});
  for (const v1::Setting& one : settings->settings()) {
    const bool at_default = one.source() == "default";
    table.Add({Cell(one.name(), at_default ? Tone::kPlain : Tone::kStrong), one.source(),
               one.at_once() ? "at once" : "", one.value()});
  }
  session.console.Out(table.Render(style));
  if (!settings->file().empty())
    session.console.Err("the file is " + Visible(settings->file()) + "\n");
  return Exit::kDone;
}

}  // namespace assent::ctl
