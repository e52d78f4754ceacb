#include "coordinator/post/poster.h"

#include <utility>

#include "coordinator/post/line.h"

namespace assent::post {

namespace http = boost::beast::http;

Poster::Poster(Target target, Connections connections, Dialling dialling)
    : target_(std::move(target)), connections_(connections), dialling_(std::move(dialling)) {}
Poster::~Poster() = default;

Answer Poster::Post(const Headers& headers, const std::string& body,
                    std::chrono::milliseconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  // Never in the clear by an oversight: a receiver that is to be secure is, or is not told.
  if (target_.secure != static_cast<bool>(dialling_))
    return {.failed = "it is not known whom to trust for " + target_.authority};
  const tls::DialMaterialPtr now = target_.secure ? dialling_() : nullptr;
  std::unique_ptr<Line> line = std::move(kept_);
  if (line != nullptr && line->dialling == now) {
    Answer answer = Exchange(*line, headers, body, until);
    if (line->open) kept_ = std::move(line);
    if (line == nullptr || !line->broken) return answer;
  }
  line = std::make_unique<Line>(target_, now);
  Answer answer = Exchange(*line, headers, body, until);
  if (line->open && connections_ == Connections::kKept) kept_ = std::move(line);
  return answer;
}

Answer Poster::Exchange(Line& line, const Headers& headers, const std::string& body,
                        TimePoint until) {
  line.request = {};
  line.request.method(http::verb::post);
  line.request.target(target_.path);
  line.request.version(11);
  line.request.set(http::field::host, target_.authority);
  for (const auto& [name, value] : headers) line.request.set(name, value);
  line.request.keep_alive(connections_ == Connections::kKept);
  line.request.body() = body;
  line.request.prepare_payload();
  {
    const MutexLock lock(mutex_);
    if (stopped_) return {.failed = "it is stopping"};
    line.context.restart();
    under_way_ = &line;
  }
  line.Begin();
  (void)line.context.run_until(until);
  const MutexLock lock(mutex_);
  under_way_ = nullptr;
  return line.answer;
}

void Poster::Stop() {
  const MutexLock lock(mutex_);
  stopped_ = true;
  if (under_way_ != nullptr) under_way_->context.stop();
}

}  // namespace assent::post
