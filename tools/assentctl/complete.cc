#include "tools/assentctl/complete.h"

#include <algorithm>

#include "tools/assentctl/program.h"
#include "tools/assentctl/text.h"
#include "tools/assentctl/words.h"

namespace assent::ctl {
namespace {

// Where the words before the cursor lead.
struct Place {
  const CLI::App* command = nullptr;
  const CLI::Option* awaits_value = nullptr;  // the word before was this option
  std::vector<std::string> arguments;
  bool all = false;  // filters choose: what names one transaction has no place
};

// Options fall through to the program's own.
const CLI::Option* FindOption(const CLI::App& root, const CLI::App& command,
                              const std::string& word) {
  const CLI::Option* option = command.get_option_no_throw(word);
  return option != nullptr ? option : root.get_option_no_throw(word);
}

const CLI::App* FindCommand(const CLI::App& above, const std::string& name) {
  for (const CLI::App* sub : above.get_subcommands([](const CLI::App*) { return true; })) {
    if (sub->get_name() == name) return sub;
  }
  return nullptr;
}

Place Walk(const CLI::App& root, const std::vector<std::string>& words) {
  Place place{&root, nullptr, {}, false};
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (place.awaits_value != nullptr) {
      place.awaits_value = nullptr;
    } else if (word.size() > 1 && word.front() == '-') {
      place.all = place.all || word == "--all";
      const CLI::Option* option = FindOption(root, *place.command, word);
      if (option != nullptr && option->get_items_expected_max() > 0) place.awaits_value = option;
    } else if (const CLI::App* sub = FindCommand(*place.command, word); sub != nullptr) {
      place.command = sub;
    } else {
      place.arguments.push_back(word);
    }
  }
  return place;
}

std::vector<std::string> Choices(const std::string& kind) {
  if (kind == "STATE") return StateChoices();
  if (kind == "OUTCOME") return OutcomeChoices();
  if (kind == "PROTOCOL") return ProtocolChoices();
  if (kind == "OUTPUT") return {"table", "wide", "json", "jsonl", "yaml", "id"};
  if (kind == "TIME") return {"relative", "iso"};
  if (kind == "FOR") return {"decided", "completed"};
  if (kind == "DECISION") return {"commit", "abort"};
  if (kind == "KIND") return EventKindChoices();
  if (kind == "ENTRY") return {"deed", "login", "logout", "reload", "refused", "start", "stop"};
  if (kind == "GROUP") return {"why", "service"};
  if (kind == "SHELL") return {"bash", "zsh", "fish"};
  return {};
}

std::vector<Candidate> Values(const std::string& kind, const Place& place,
                              const std::string& prefix, const Lookup& lookup) {
  if (kind == "FILE") return {{kFilesPlease, ""}};
  if (kind == "GID" || kind == "SERVICE" || kind == "BRANCH" || kind == "NODE" || kind == "CAUSE") {
    return lookup(kind, prefix, place.arguments.empty() ? "" : place.arguments.front());
  }
  std::vector<Candidate> values;
  for (const std::string& choice : Choices(kind)) values.push_back({choice, ""});
  if (kind == "FOR" && place.command->get_name() == "submit") values.push_back({"accepted", ""});
  return values;
}

void AddOptions(const CLI::App& command, std::vector<Candidate>& candidates) {
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      candidates.push_back({"--" + name, option->get_description()});
    }
  }
}

// The positional argument that the next word would be; the last one takes all that follow.
const CLI::Option* NextArgument(const Place& place) {
  std::vector<const CLI::Option*> positional;
  for (const CLI::Option* option : place.command->get_options()) {
    const std::string kind = option->get_type_name();
    const bool names_one = kind == "GID" || kind == "BRANCH";
    if (option->get_positional() && !(place.all && names_one)) positional.push_back(option);
  }
  if (place.arguments.size() < positional.size()) return positional[place.arguments.size()];
  const bool takes_more = !positional.empty() && positional.back()->get_items_expected_max() > 1;
  return takes_more ? positional.back() : nullptr;
}

}  // namespace

std::vector<Candidate> Complete(const std::vector<std::string>& words, const Lookup& lookup) {
  const Program program;
  const std::string prefix = words.empty() ? "" : words.back();
  const Place place = Walk(program.app, words);
  std::vector<Candidate> candidates;
  if (place.awaits_value != nullptr) {
    candidates = Values(place.awaits_value->get_type_name(), place, prefix, lookup);
  } else if (!prefix.empty() && prefix.front() == '-') {
    AddOptions(*place.command, candidates);
    if (place.command != &program.app) AddOptions(program.app, candidates);
  } else if (const auto below =
                 place.command->get_subcommands([](const CLI::App*) { return true; });
             !below.empty()) {
    for (const CLI::App* sub : below) {
      candidates.push_back({sub->get_name(), sub->get_description()});
    }
  } else if (const CLI::Option* next = NextArgument(place); next != nullptr) {
    candidates = Values(next->get_type_name(), place, prefix, lookup);
  }
  const auto unfit = [&prefix](const Candidate& candidate) {
    return candidate.value != kFilesPlease && candidate.value.rfind(prefix, 0) != 0;
  };
  candidates.erase(std::remove_if(candidates.begin(), candidates.end(), unfit), candidates.end());
  return candidates;
}

std::string RenderCandidates(const std::vector<Candidate>& candidates) {
  std::string text;
  for (const Candidate& candidate : candidates) {
    text += Visible(candidate.value) + "\t" + Visible(candidate.description) + "\n";
  }
  return text;
}

}  // namespace assent::ctl
