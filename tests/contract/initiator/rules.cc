#include "tests/contract/initiator/rules.h"

#include <string>
#include <thread>

#include "tests/contract/limits.h"

namespace assent::contract {
namespace {

using grpc::StatusCode;

constexpr std::chrono::milliseconds kShort{1500};
constexpr int kManyCount = 24;

Reaction Lost(StatusCode code = StatusCode::UNAVAILABLE) { return {.code = code}; }
Reaction NotTaken(StatusCode code) { return {.carry_out = false, .code = code}; }

void Answers(Trial& t) {
  t.Gid({"committed"});
  const std::string aborted = t.Gid({"aborted"});
  t.book().Abort(aborted);
  if (t.Listen()) t.Run();
}

void LostAnswerOf(Trial& t) {
  const std::string committed = t.Gid({"committed"});
  const std::string aborted = t.Gid({"aborted"});
  t.book().Abort(aborted);
  t.script = [](const Visit& visit) {
    const bool submit = visit.asked == Asked::kSubmit;
    return submit && visit.number <= 2 ? Lost() : Reaction{};
  };
  if (t.Listen()) t.Run();
}

void CodesOfNobody(Trial& t) {
  std::map<std::string, StatusCode> codes;
  for (const StatusCode code :
       {StatusCode::UNAVAILABLE, StatusCode::DEADLINE_EXCEEDED, StatusCode::RESOURCE_EXHAUSTED,
        StatusCode::CANCELLED, StatusCode::UNKNOWN, StatusCode::INTERNAL, StatusCode::OUT_OF_RANGE})
    codes[t.Gid({"committed"})] = code;
  // Whoever says these says them again: to give up with "unknown" is right as well.
  for (const StatusCode code :
       {StatusCode::UNIMPLEMENTED, StatusCode::UNAUTHENTICATED, StatusCode::PERMISSION_DENIED})
    codes[t.Gid({"committed", "unknown"})] = code;
  t.script = [codes](const Visit& visit) {
    const auto code = codes.find(visit.gid);
    const bool first = visit.number == 1 && visit.asked == Asked::kSubmit;
    return first && code != codes.end() ? Lost(code->second) : Reaction{};
  };
  if (t.Listen()) t.Run();
}

void OwnCodes(Trial& t) {
  std::map<std::string, StatusCode> codes;
  for (const StatusCode code : {StatusCode::INVALID_ARGUMENT, StatusCode::ALREADY_EXISTS,
                                StatusCode::FAILED_PRECONDITION, StatusCode::DATA_LOSS})
    codes[t.Gid({"failed"})] = code;
  t.script = [codes](const Visit& visit) {
    const auto code = codes.find(visit.gid);
    return NotTaken(code == codes.end() ? StatusCode::UNAVAILABLE : code->second);
  };
  if (!t.Listen()) return;
  t.Run();
  constexpr int kOften = 3;
  for (const auto& [gid, code] : codes) {
    const int visits = t.book().VisitsOf(gid);
    t.findings().Expect(visits >= 1 && visits <= kOften,
                        gid + ": asked for, and hardly again: the coordinator has answered",
                        std::to_string(visits) + " times");
  }
}

void NotFound(Trial& t) {
  t.Gid({"committed"});
  t.script = [](const Visit& visit) {
    const bool first = visit.asked == Asked::kSubmit && visit.number == 1;
    // On its way still: nobody has heard of it, whoever asks.
    return first ? NotTaken(StatusCode::UNAVAILABLE) : Reaction{};
  };
  if (t.Listen()) t.Run();
}

void Full(Trial& t) {
  t.Gid({"committed"});
  t.script = [](const Visit& visit) {
    if (visit.number > 3) return Reaction{};
    return Reaction{
        .carry_out = false, .code = StatusCode::RESOURCE_EXHAUSTED, .retry_after_ms = 50};
  };
  if (t.Listen()) t.Run();
}

void Restart(Trial& t) {
  const std::string gid = t.Gid({"committed"});
  t.script = [](const Visit& visit) {
    return Reaction{.hang = visit.asked == Asked::kSubmit && visit.number == 1};
  };
  if (!t.Listen()) return;
  t.Run([&] {
    t.findings().Expect(t.WaitFor([&] { return t.book().Begun(gid); }), "it asks", "it does not");
    t.cluster().Stop(0);
    std::this_thread::sleep_for(kSilence);  // tidy: allow(sleep) nobody listens for a while
    const Status started = t.cluster().Start(0);
    t.findings().Expect(started.ok(), "the port is free again", started.ToString());
  });
}

void Gone(Trial& t) {
  const std::string gid = t.Gid({"unknown"});
  t.give_up = kShort;
  t.script = [](const Visit&) { return Reaction{.hang = true}; };
  if (!t.Listen()) return;
  t.Run([&] {
    t.findings().Expect(t.WaitFor([&] { return t.book().Begun(gid); }), "it asks", "it does not");
    t.cluster().Stop(0);
  });
}

void NeverThere(Trial& t) {
  t.Gid({"not-begun", "unknown"});
  t.give_up = kShort;
  if (!t.Listen()) return;
  t.cluster().Stop(0);
  t.Run();
}

void Redirect(Trial& t) {
  t.Gid({"committed"});
  t.Gid({"committed"});
  t.script = [&t](const Visit& visit) {
    if (visit.member == 1) return Reaction{};
    return Reaction{
        .carry_out = false, .code = StatusCode::UNAVAILABLE, .owner = t.cluster().address(1)};
  };
  if (t.Listen(2)) t.Run();
}

void Moves(Trial& t) {
  const std::string gid = t.Gid({"committed"});
  t.script = [](const Visit& visit) { return Reaction{.hang = visit.member == 0}; };
  if (!t.Listen(2)) return;
  t.Run([&] {
    t.findings().Expect(t.WaitFor([&] { return t.book().Begun(gid); }), "it asks", "it does not");
    t.cluster().Stop(0);
  });
}

void Many(Trial& t) {
  for (int i = 0; i < kManyCount; ++i) {
    const bool aborts = i % 3 == 0;
    const std::string gid = t.Gid({aborts ? "aborted" : "committed"});
    if (aborts) t.book().Abort(gid);
  }
  t.script = [](const Visit& visit) {
    // What happens to a question is drawn from its gid, the same in each run of one gid.
    const std::size_t drawn = std::hash<std::string>()(visit.gid) % 7;
    if (visit.asked != Asked::kSubmit || visit.number > static_cast<int>(drawn % 4))
      return Reaction{};
    return drawn < 4 ? Lost() : NotTaken(StatusCode::UNAVAILABLE);
  };
  if (t.Listen()) t.Run();
}

void StreamAnswers(Trial& t) {
  t.Gid({"committed"});
  const std::string aborted = t.Gid({"aborted"});
  t.book().Abort(aborted);
  const std::string failed = t.Gid({"failed"});
  t.script = [failed](const Visit& visit) {
    return visit.gid == failed ? NotTaken(StatusCode::INVALID_ARGUMENT) : Reaction{};
  };
  if (t.Listen()) t.Run();
}

void StreamLost(Trial& t) {
  for (int i = 0; i < 4; ++i) t.Gid({"committed"});
  t.script = [](const Visit& visit) {
    Reaction reaction;
    if (visit.asked != Asked::kStream || visit.number > 1) return reaction;
    reaction.code = StatusCode::UNAVAILABLE;
    reaction.ends_stream = true;
    return reaction;
  };
  if (t.Listen()) t.Run();
}

void StreamHandedOn(Trial& t) {
  t.Gid({"committed"});
  t.script = [](const Visit& visit) {
    // Handed on to another coordinator and lost there.
    return visit.number == 1 ? Lost(StatusCode::UNKNOWN) : Reaction{};
  };
  if (t.Listen()) t.Run();
}

void Interactive(Trial& t) {
  const std::string gid = t.Gid({"committed"});
  t.script = [](const Visit& visit) { return visit.number == 1 ? Lost() : Reaction{}; };
  if (!t.Listen()) return;
  t.Run();
  if (!t.findings().why_not().empty()) return;
  for (const Asked asked : {Asked::kBegin, Asked::kExecute, Asked::kCommit}) {
    t.findings().Expect(t.book().VisitsOf(asked, gid) >= 2,
                        "Begin, ExecuteBranch and Commit are said again after a lost answer",
                        std::to_string(t.book().VisitsOf(asked, gid)) + " times");
  }
}

void InteractiveAborted(Trial& t) {
  const std::string gid = t.Gid({"aborted"});
  Book& book = t.book();
  t.script = [&book, gid](const Visit& visit) {
    if (visit.asked == Asked::kExecute) {
      book.End(gid, v1::ABORTED);
      return NotTaken(StatusCode::ABORTED);
    }
    if (visit.asked == Asked::kCommit) return NotTaken(StatusCode::FAILED_PRECONDITION);
    return Reaction{};
  };
  if (t.Listen()) t.Run();
}

}  // namespace

const std::vector<InitiatorRule>& InitiatorRules() {
  static const std::vector<InitiatorRule> rules = {
      {"answers", "submit", "What the coordinator answers is what is concluded.", Answers},
      {"lost-answer", "submit", "After a lost answer the same is asked again, under the same gid.",
       LostAnswerOf},
      {"codes-of-nobody", "submit",
       "Of a code that a library or a proxy may say nothing is concluded.", CodesOfNobody},
      {"own-codes", "submit", "The coordinator's own final codes end the asking.", OwnCodes},
      {"not-found", "submit", "NOT_FOUND after a lost Submit is no answer.", NotFound},
      {"full", "submit", "A coordinator that is full is asked again later.", Full},
      {"restart", "submit", "A coordinator that restarts is asked again, and answers the same.",
       Restart},
      {"gone", "submit", "A coordinator that is gone after it began leaves an unknown outcome.",
       Gone},
      {"never-there", "submit", "Where nobody listens nothing is called committed or aborted.",
       NeverThere},
      {"redirect", "submit", "UNAVAILABLE with assent-owner is asked again there.", Redirect},
      {"moves", "submit", "When a member dies the same is asked of another one.", Moves},
      {"many", "submit", "Many at once, with answers lost at random: one outcome for each.", Many},
      {"stream-answers", "stream", "On a stream each reply is about its own request.",
       StreamAnswers},
      {"stream-lost", "stream", "What a stream that ends leaves unanswered is asked again.",
       StreamLost},
      {"stream-handed-on", "stream", "error_code UNKNOWN on a stream is no answer.",
       StreamHandedOn},
      {"interactive", "interactive", "Begin, ExecuteBranch and Commit are said again when lost.",
       Interactive},
      {"interactive-aborted", "interactive",
       "A branch of a transaction that was aborted ends it as aborted.", InteractiveAborted},
  };
  return rules;
}

}  // namespace assent::contract
