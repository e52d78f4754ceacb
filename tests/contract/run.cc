#include "tests/contract/run.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <string_view>
#include <utility>

#include "tests/contract/examination.h"
#include "tests/contract/http_peer.h"
#include "tests/contract/rules.h"
#include "tests/contract/session_peer.h"
#include "tests/contract/unary_peer.h"
#include "tests/support/process.h"

namespace assent::contract {
namespace {

constexpr v1::Protocol kAllProtocols[] = {v1::TWO_PHASE, v1::TCC, v1::SAGA};

// What was asked for, or what it offers.
std::vector<v1::Protocol> ProtocolsOf(const ParticipantOptions& options, Examination& e) {
  std::vector<v1::Protocol> protocols;
  const auto offered = e.peer().Offered();
  for (const v1::Protocol protocol : kAllProtocols) {
    bool there = false;
    if (!options.protocols.empty()) {
      there = std::count(options.protocols.begin(), options.protocols.end(),
                         ProtocolName(protocol)) != 0;
    } else if (!options.session.empty()) {
      there = offered.count({"add", protocol}) != 0;
    } else {
      // Nothing is announced: what it does not have is REFUSED at the forward operation.
      const Work work = e.NewAdd(protocol, 1);
      there = IsDone(e.Ask(work, Forward(protocol)));
      if (there) e.Ask(work, Undo(protocol));
    }
    if (there) protocols.push_back(protocol);
  }
  return protocols;
}

std::string WhyNot(const Rule& rule, Examination& e) {
  if ((rule.needs & kSession) != 0 && e.peer().sessions() == nullptr)
    return "it is dialled, and has no session";
  if ((rule.needs & kTwoPhase) != 0 && !e.Offers(v1::TWO_PHASE))
    return "add is not offered for two-phase commit";
  if ((rule.needs & kTwoSteps) != 0 && !e.Offers(v1::TWO_PHASE) && !e.Offers(v1::TCC))
    return "add is offered for saga alone";
  if ((rule.needs & kStart) != 0 && !e.subject().ours())
    return "without --start it can be neither killed nor started";
  return "";
}

bool Wanted(const ParticipantOptions& options, const std::string& rule) {
  return options.rules.empty() || std::count(options.rules.begin(), options.rules.end(), rule) != 0;
}

Verdict Look(const Rule& rule, Examination& e) {
  const auto begin = std::chrono::steady_clock::now();
  Findings findings;
  const std::string why_not = WhyNot(rule, e);
  if (!why_not.empty()) {
    findings.DoesNotApply(why_not);
  } else if (e.Begin(findings, rule.name)) {
    rule.check(e);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  return VerdictOf(rule.name, rule.sentence, findings, seconds.count());
}

// A port for 0.
std::string Picked(std::string target) {
  const std::size_t colon = target.rfind(':');
  if (colon != std::string::npos && target.substr(colon) == ":0")
    target = target.substr(0, colon + 1) + std::to_string(test::FreePort());
  return target;
}

Status DialHttp(const ParticipantOptions& options, std::map<std::string, std::string>& env,
                std::unique_ptr<Peer>& peer) {
  constexpr std::string_view kScheme = "http://";
  const std::string& url = options.http;
  if (url.rfind(kScheme, 0) != 0) return InvalidArgument("--http takes http://HOST:PORT/PATH");
  const std::size_t slash = std::min(url.find('/', kScheme.size()), url.size());
  const std::string target = Picked(url.substr(kScheme.size(), slash - kScheme.size()));
  const std::string path = slash == url.size() ? "/" : url.substr(slash);
  std::string secret;
  if (!options.secret_file.empty()) {
    std::ifstream file(options.secret_file);
    std::getline(file, secret);
    if (secret.empty()) return InvalidArgument("there is no secret in " + options.secret_file);
    env["ASSENT_CONTRACT_SECRET_FILE"] = options.secret_file;
  }
  env["ASSENT_CONTRACT_LISTEN"] = target;
  env["ASSENT_CONTRACT_PATH"] = path;
  peer = std::make_unique<HttpPeer>(std::string(kScheme) + target + path, secret, options.patience);
  return OkStatus();
}

}  // namespace

Outcome RunParticipant(const ParticipantOptions& options,
                       const std::function<void(const Verdict&)>& said) {
  Outcome outcome;
  const test::TempDir folder;
  std::map<std::string, std::string> env = {{"ASSENT_CONTRACT_FOLDER", folder.path()}};
  std::unique_ptr<Peer> peer;
  if (!options.session.empty()) {
    auto dialled = std::make_unique<SessionPeer>(options.session);
    const Status listening = dialled->Listen();
    if (!listening.ok()) return {{}, listening.message()};
    env["ASSENT_ENDPOINT"] = dialled->sessions()->address();
    peer = std::move(dialled);
  } else if (!options.http.empty()) {
    const Status made = DialHttp(options, env, peer);
    if (!made.ok()) return {{}, made.message()};
  } else {
    const std::string target = Picked(options.unary);
    env["ASSENT_CONTRACT_LISTEN"] = target;
    peer = std::make_unique<UnaryPeer>(target, options.patience);
  }
  Subject subject(options.start, env, options.output_file);
  Examination e(subject, *peer, options.patience);

  Findings first;
  if (!e.Begin(first, "begin")) {
    const Fault& fault = first.faults().front();
    return {{}, "expected: " + fault.expected + "; seen: " + fault.seen};
  }
  e.protocols = ProtocolsOf(options, e);
  if (e.protocols.empty())
    return {{}, "the action add is offered for no protocol: docs/contract.md has the actions"};

  Findings formed;
  const auto collect = [&](const std::string& rule) {
    formed.About("during " + rule);
    const std::vector<Fault> faults = peer->TakeFaults();
    if (faults.empty()) formed.Expect(true, "", "");
    for (const Fault& fault : faults) formed.Expect(false, fault.expected, fault.seen);
  };
  const auto add = [&](Verdict verdict) {
    said(verdict);
    outcome.verdicts.push_back(std::move(verdict));
  };
  for (const Rule& rule : Rules()) {
    if (!Wanted(options, rule.name)) continue;
    add(Look(rule, e));
    collect(rule.name);
  }
  if (Wanted(options, kWellFormed)) {
    collect("the beginning");
    add(VerdictOf(kWellFormed, kWellFormedSentence, formed, 0));
  }
  subject.Kill();
  peer->Forget();
  return outcome;
}

}  // namespace assent::contract
