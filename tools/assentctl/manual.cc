#include "proto/manual/man_page.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/program.h"

namespace assent::ctl {

std::string ManualPage() {
  const Program program;
  return ManPage(
      program.app,
      {.section = 1, .version = ASSENT_VERSION, .date = ManDate(), .see_also = "assentd(8)"});
}

}  // namespace assent::ctl
