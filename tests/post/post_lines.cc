// Posts to a receiver as it is told on its standard input, line by line, and says what came of it:
//   post_lines URL [--ca FILE] [--cert FILE --key FILE] [--kept] [--patience MS]
// "post" answers with the Answer, "reload" with what is wrong with the files now.

#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "coordinator/post/poster.h"
#include "coordinator/tls/keeper.h"

namespace {

using assent::post::Answer;
using assent::post::Connections;
using assent::post::Poster;
using assent::tls::DialFiles;
using assent::tls::DialKeeper;
using std::chrono::milliseconds;

struct Told {
  DialFiles files{.setting = "tls-test-ca"};
  Connections connections = Connections::kOneEach;
  milliseconds patience{20'000};
};

Told ReadWords(const std::vector<std::string>& words) {
  Told told;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const std::string& flag = words[i];
    if (flag == "--kept") {
      told.connections = Connections::kKept;
      continue;
    }
    const std::string& value = words.at(++i);
    if (flag == "--ca") told.files.ca = value;
    if (flag == "--cert") told.files.cert = value;
    if (flag == "--key") told.files.key = value;
    if (flag == "--patience") told.patience = milliseconds(std::stol(value));
  }
  return told;
}

std::string Post(Poster& poster, milliseconds patience) {
  const auto began = std::chrono::steady_clock::now();
  const Answer answer = poster.Post({{"Own", "of ours"}}, "a body", patience);
  const auto took = std::chrono::steady_clock::now() - began;
  return nlohmann::json{{"failed", answer.failed},
                        {"code", answer.code},
                        {"body", answer.body},
                        {"ms", std::chrono::duration_cast<milliseconds>(took).count()}}
      .dump();
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const Told told = ReadWords(words);
  auto target = assent::post::ParseUrl(words.at(0));
  std::unique_ptr<DialKeeper> keeper;
  if (target.ok() && target->secure) {
    auto opened = DialKeeper::Open(told.files);
    if (!opened.ok()) {
      std::cerr << opened.status().message() << '\n';
      return 2;
    }
    keeper = std::move(opened).value();
  }
  assent::post::Dialling dialling;
  if (keeper != nullptr) dialling = [&keeper] { return keeper->Current(); };
  Poster poster(std::move(target).value(), told.connections, dialling);
  for (std::string line; std::getline(std::cin, line);) {
    std::string answer;
    if (line == "post") answer = Post(poster, told.patience);
    if (line == "reload")
      answer = keeper->HaveFilesChanged() ? keeper->Reload().message() : "they are the same";
    std::cout << answer << '\n' << std::flush;
  }
}
