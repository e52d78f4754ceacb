#include "coordinator/http/console.h"

#include <algorithm>
#include <string>

#include "coordinator/http/json.h"
#include "coordinator/http/routes.h"

namespace assent::http {
namespace {

// A page runs what comes from here and nothing else, makes no element of a text, talks to nobody
// but us, and is in nobody's frame.
constexpr char kPolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

std::string TypeOf(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".svg")) return "image/svg+xml";
  return "text/javascript; charset=utf-8";
}

Answer FileAnswer(const ConsoleFile& file, const Request& request) {
  const std::string tag = "\"" + std::string(file.hash) + "\"";
  Answer answer;
  // It is asked each time whether it is still so: a new version of us has new files.
  answer.cache = "no-cache";
  answer.header = "ETag: " + tag + "\r\nCross-Origin-Opener-Policy: same-origin\r\n";
  answer.policy = kPolicy;
  if (request.if_none_match.find(tag) != std::string::npos) {
    answer.code = 304;
    answer.type.clear();
    return answer;
  }
  answer.type = TypeOf(file.name);
  answer.body = file.text;
  return answer;
}

}  // namespace

std::optional<Answer> ConsoleAnswer(const Request& request) {
  std::string_view path = PathOf(request.target);
  const bool leads_here = path == "/" || path == kConsolePath.substr(0, kConsolePath.size() - 1);
  if (!leads_here && !path.starts_with(kConsolePath)) return std::nullopt;
  if (request.method != "GET") {
    Answer refused = Failure({Code::kUnimplemented, "the console's pages take GET"}, 405);
    refused.allow = "GET";
    return refused;
  }
  if (leads_here) {
    return Answer{
        .code = 302, .type = "", .header = "Location: " + std::string(kConsolePath) + "\r\n"};
  }
  path.remove_prefix(kConsolePath.size());
  if (path.empty()) path = "index.html";
  const auto& files = ConsoleFiles();
  const auto file = std::find_if(files.begin(), files.end(),
                                 [&](const ConsoleFile& one) { return one.name == path; });
  if (file == files.end()) return Failure(NotFound("the console has no such file"));
  return FileAnswer(*file, request);
}

}  // namespace assent::http
