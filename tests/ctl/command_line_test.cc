#include "tools/assentctl/command_line.h"

#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace assent::ctl {
namespace {

class CommandLine : public ::testing::Test {
 protected:
  std::variant<ParsedLine, ParseEnd> Parse(const std::vector<std::string>& args) {
    return ParseCommandLine(args, {[this](const char* name) -> const char* {
                                     const auto found = env.find(name);
                                     return found == env.end() ? nullptr : found->second.c_str();
                                   },
                                   [this](const std::string& path) -> Result<std::string> {
                                     const auto found = files.find(path);
                                     if (found == files.end()) return NotFound("no " + path);
                                     return found->second;
                                   }});
  }
  ParsedLine Good(const std::vector<std::string>& args) {
    auto parsed = Parse(args);
    if (const auto* end = std::get_if<ParseEnd>(&parsed)) {
      ADD_FAILURE() << end->err << end->out;
      return {{}, VersionCommand()};
    }
    return std::get<ParsedLine>(parsed);
  }
  // The message of a line that ends with exit 2.
  std::string Bad(const std::vector<std::string>& args) {
    auto parsed = Parse(args);
    const auto* end = std::get_if<ParseEnd>(&parsed);
    if (end == nullptr) {
      ADD_FAILURE() << "was taken";
      return "";
    }
    EXPECT_EQ(Exit::kUsage, end->exit);
    EXPECT_EQ("", end->out);
    return end->err;
  }
  template <typename T>
  T As(const std::vector<std::string>& args) {
    const ParsedLine line = Good(args);
    EXPECT_TRUE(std::holds_alternative<T>(line.command));
    return std::holds_alternative<T>(line.command) ? std::get<T>(line.command) : T();
  }

  std::map<std::string, std::string> env;
  std::map<std::string, std::string> files;
};

TEST_F(CommandLine, FlagOverEnvironmentOverProfileOverDefault) {
  EXPECT_EQ("127.0.0.1:7400", Good({"list"}).options.endpoint);
  env["HOME"] = "/h";
  files["/h/.config/assent/assentctl.toml"] = "endpoint = \"profile:1\"\noutput = \"json\"";
  EXPECT_EQ("profile:1", Good({"list"}).options.endpoint);
  EXPECT_EQ(Output::kJson, Good({"list"}).options.output);
  env["ASSENT_ENDPOINT"] = "environment:2";
  EXPECT_EQ("environment:2", Good({"list"}).options.endpoint);
  EXPECT_EQ("flag:3", Good({"list", "--endpoint", "flag:3"}).options.endpoint);
  EXPECT_EQ("flag:3", Good({"--endpoint", "flag:3", "list"}).options.endpoint);
  EXPECT_EQ(Output::kId, Good({"list", "-o", "id"}).options.output);
}

// `--service "$SERVICE"` of a variable that is not set is not all.
TEST_F(CommandLine, AnEmptyFilterIsNone) {
  for (const char* filter : {"--service", "--cause", "--prefix"}) {
    const std::string said = Bad({"abort", "--all", filter, "", "--reason", "x", "--yes"});
    EXPECT_NE(std::string::npos, said.find("is empty: leave it out")) << said;
  }
}

TEST_F(CommandLine, SubmitTakesTheTraceOfTheEnvironment) {
  EXPECT_EQ("", std::get<SubmitCommand>(Good({"submit"}).command).traceparent);
  env["TRACEPARENT"] = "00-a-b-01";
  EXPECT_EQ("00-a-b-01", std::get<SubmitCommand>(Good({"submit"}).command).traceparent);
}

TEST_F(CommandLine, ANamedProfileMustBeThere) {
  EXPECT_NE(std::string::npos, Bad({"list", "--profile", "prod"}).find("no profile 'prod'"));
  EXPECT_NE(std::string::npos, Bad({"list", "--profile-file", "/nope"}).find("no /nope"));
  files["/p"] = "[prod]\nendpoint = \"prod\"";
  env["ASSENT_PROFILE_FILE"] = "/p";
  EXPECT_EQ("127.0.0.1:7400", Good({"list"}).options.endpoint);
  env["ASSENT_PROFILE"] = "prod";
  EXPECT_EQ("prod:7400", Good({"list"}).options.endpoint);
}

TEST_F(CommandLine, TimeoutOfTheFlagHoldsForWaitsToo) {
  files["/p"] = "timeout = \"3s\"";
  const ParsedLine profile = Good({"wait", "g", "--profile-file", "/p"});
  EXPECT_EQ(std::chrono::seconds(3), profile.options.call_timeout);
  EXPECT_FALSE(profile.options.wait_timeout.has_value());
  const ParsedLine flag = Good({"wait", "g", "--timeout", "1m"});
  EXPECT_EQ(std::chrono::seconds(60), flag.options.call_timeout);
  EXPECT_EQ(std::chrono::seconds(60), flag.options.wait_timeout);
}

TEST_F(CommandLine, ListFilters) {
  const auto list = As<ListCommand>(
      {"list",        "--state",   "active",      "--state",   "COMMITTING",   "--protocol",
       "2pc",         "--service", "inventory",   "--label",   "a=b=c",        "--label",
       "d=",          "--min-age", "5m",          "--outcome", "mixed",        "--needs-operator",
       "--prefix",    "order-",    "--page-size", "7",         "--page-token", "t",
       "--all-pages", "--watch",   "--interval",  "1s"});
  EXPECT_EQ(
      "states: ACTIVE states: COMMITTING protocol: TWO_PHASE service: \"inventory\" "
      "labels { key: \"a\" value: \"b=c\" } labels { key: \"d\" value: \"\" } gid_prefix: "
      "\"order-\" "
      "min_age_ms: 300000 needs_operator: true outcome: MIXED page_size: 7 page_token: \"t\"",
      list.request.ShortDebugString());
  EXPECT_TRUE(list.all_pages);
  EXPECT_TRUE(list.watch);
  EXPECT_EQ(std::chrono::seconds(1), list.interval);
  EXPECT_TRUE(As<ListCommand>({"list", "--all"}).request.all());
}

TEST_F(CommandLine, Inspecting) {
  EXPECT_EQ("g", As<ShowCommand>({"show", "g"}).gid);
  EXPECT_FALSE(As<ShowCommand>({"show", "g"}).payloads);
  EXPECT_EQ(BytesStyle::kBase64, As<ShowCommand>({"show", "g", "--payloads"}).bytes);
  EXPECT_TRUE(As<ShowCommand>({"show", "--payloads", "g"}).payloads);
  EXPECT_EQ(BytesStyle::kHex, As<ShowCommand>({"show", "g", "--payloads=hex"}).bytes);
  EXPECT_EQ("g", As<WatchCommand>({"watch", "g"}).gid);
  const auto wait = As<WaitCommand>({"wait", "g", "--for", "decided", "--patient"});
  EXPECT_EQ(v1::WAIT_DECIDED, wait.wait_for);
  EXPECT_TRUE(wait.patient);
  EXPECT_EQ(v1::WAIT_COMPLETED, As<WaitCommand>({"wait", "g"}).wait_for);
  const auto audit = As<AuditCommand>(
      {"audit", "g", "--who", "ann", "--verb", "abort", "--since", "2h", "--refused"});
  EXPECT_EQ(audit.request.ShortDebugString(),
            "gid: \"g\" who: \"ann\" verb: \"abort\" refused: true page_size: 50");
  EXPECT_EQ(audit.since, std::chrono::hours(2));
  EXPECT_EQ("inv", As<ParticipantsCommand>({"participants", "inv"}).request.service_prefix());
  As<StatsCommand>({"stats"});
  As<HealthCommand>({"health"});
  As<VersionCommand>({"version"});
  As<VersionCommand>({"--version"});
  EXPECT_EQ(Shell::kFish, As<CompletionCommand>({"completion", "fish"}).shell);
  EXPECT_EQ((std::vector<std::string>{"show", "-"}),
            As<CompleteCommand>({"__complete", "show", "-"}).words);
}

TEST_F(CommandLine, Changing) {
  const auto retry = As<OperateCommand>({"retry", "a", "b", "-", "--reason", "r", "--who", "w"});
  EXPECT_EQ(Verb::kRetry, retry.verb);
  EXPECT_EQ((std::vector<std::string>{"a", "b", "-"}), retry.gids);
  EXPECT_EQ("r", retry.intent.reason);
  EXPECT_EQ("w", retry.intent.who);
  const auto abort = As<OperateCommand>({"abort", "a", "-n", "-y"});
  EXPECT_EQ(Verb::kAbort, abort.verb);
  EXPECT_TRUE(abort.intent.dry_run && abort.intent.yes);
  EXPECT_EQ(Verb::kSuspend, As<OperateCommand>({"suspend", "a"}).verb);
  EXPECT_EQ(Verb::kResume, As<OperateCommand>({"resume", "a"}).verb);
  EXPECT_EQ(Verb::kForget, As<OperateCommand>({"forget", "a"}).verb);
  const auto resolve = As<ResolveCommand>({"resolve", "g", "2", "abort"});
  EXPECT_EQ("g", resolve.gid);
  EXPECT_EQ("2", resolve.branch_id);
  EXPECT_EQ(v1::DECISION_ABORT, resolve.resolution);
  const auto many = As<ResolveCommand>({"resolve", "--all", "--service", "paymnet", "abort"});
  EXPECT_TRUE(many.all && many.gid.empty());
  EXPECT_EQ("paymnet", many.which.service());
  EXPECT_EQ(v1::DECISION_ABORT, many.resolution);
  // A script whose variable is not set would have begun another transaction with each repetition.
  EXPECT_NE(std::string::npos, Bad({"submit", "f.json", "--gid", ""}).find("--gid: is empty"));
  const auto submit = As<SubmitCommand>({"submit", "f.json", "--gid", "g", "--for", "accepted"});
  EXPECT_EQ("f.json", submit.path);
  EXPECT_EQ("g", submit.gid);
  EXPECT_EQ(v1::WAIT_ACCEPTED, submit.wait.wait_for);
  EXPECT_EQ("-", As<SubmitCommand>({"submit"}).path);
}

TEST_F(CommandLine, MistakesAreNamedAndExitTwo) {
  EXPECT_NE(std::string::npos, Bad({}).find("Subcommands:"));
  EXPECT_NE(std::string::npos, Bad({"lst"}).find("lst"));
  EXPECT_NE(std::string::npos, Bad({"show"}).find("GID is required"));
  EXPECT_NE(std::string::npos, Bad({"show", "a", "b"}).find("b"));
  EXPECT_NE(std::string::npos, Bad({"list", "--state", "done"}).find("'done' is none of active"));
  EXPECT_NE(std::string::npos, Bad({"list", "--all", "--state", "active"}).find("excludes"));
  EXPECT_NE(std::string::npos, Bad({"list", "--page-size", "1001"}).find("from 1 to 1000"));
  EXPECT_NE(std::string::npos, Bad({"list", "--page-size", "0"}).find("from 1 to 1000"));
  EXPECT_NE(std::string::npos, Bad({"list", "--page-size", "-1"}).find("page-size"));
  EXPECT_NE(std::string::npos, Bad({"list", "--label", "x"}).find("'x' is not key=value"));
  EXPECT_NE(std::string::npos, Bad({"list", "--min-age", "5"}).find("'5' is not a duration"));
  EXPECT_NE(std::string::npos, Bad({"list", "-o", "xml"}).find("'xml' is none of table"));
  EXPECT_NE(std::string::npos, Bad({"list", "--endpoint", "http://x"}).find("is not an address"));
  EXPECT_NE(std::string::npos,
            Bad({"resolve", "g", "1", "maybe"}).find("'maybe' is none of commit, abort"));
  EXPECT_NE(std::string::npos, Bad({"resolve", "g", "1"}).find("DECISION: is missing"));
  EXPECT_NE(std::string::npos, Bad({"resolve", "g"}).find("BRANCH: is missing"));
  EXPECT_NE(std::string::npos, Bad({"resolve"}).find("GID: is missing"));
  EXPECT_NE(std::string::npos,
            Bad({"resolve", "--all", "abort"}).find("--all: wants --service or --cause"));
  EXPECT_NE(std::string::npos,
            Bad({"resolve", "g", "1", "abort", "--service", "s"}).find("--all: is missing"));
  EXPECT_NE(std::string::npos, Bad({"resolve", "--all", "--service", "s", "g", "1", "abort"})
                                   .find("--all: stands in place of GID"));
  EXPECT_NE(std::string::npos,
            Bad({"show", "g", "--payloads=rot13"}).find("'rot13' is none of base64, hex"));
  EXPECT_NE(std::string::npos,
            Bad({"wait", "g", "--for", "ever"}).find("Try: assentctl wait --help"));
}

TEST_F(CommandLine, ClusterIsItsStatus) {
  EXPECT_FALSE(As<ClusterStatusCommand>({"cluster"}).watch);
  EXPECT_TRUE(As<ClusterStatusCommand>({"cluster", "--watch"}).watch);
  const auto status =
      As<ClusterStatusCommand>({"cluster", "status", "--watch", "--interval", "3s", "-o", "wide"});
  EXPECT_TRUE(status.watch);
  EXPECT_EQ(std::chrono::seconds(3), status.interval);
  EXPECT_EQ("order-17", As<LocateCommand>({"cluster", "locate", "order-17"}).gid);
  EXPECT_NE(std::string::npos, Bad({"cluster", "locate", ""}).find("GID: is empty"));
  EXPECT_NE(std::string::npos,
            Bad({"cluster", "--watch", "locate", "g"}).find("--watch: is for cluster status"));
  EXPECT_NE(std::string::npos, Bad({"cluster", "nonsense"}).find("nonsense"));
  EXPECT_NE(std::string::npos,
            Bad({"cluster", "drain"}).find("Try: assentctl cluster drain --help"));
}

TEST_F(CommandLine, ClusterChanges) {
  const auto drain = As<DrainCommand>({"cluster", "drain", "b", "--wait", "--reason", "why"});
  EXPECT_EQ("b", drain.node);
  EXPECT_TRUE(drain.wait);
  EXPECT_EQ("why", drain.intent.reason);
  (void)Bad({"cluster", "drain", "b", "--wait", "--undo"});
  EXPECT_TRUE(As<DrainCommand>({"cluster", "drain", "b", "--undo"}).undo);
  const auto move = As<MoveCommand>({"cluster", "move", "17", "4-6", "b", "--who", "ann"});
  EXPECT_EQ((std::vector<std::uint32_t>{17, 4, 5, 6}), move.slots);
  EXPECT_EQ("b", move.node);
  EXPECT_EQ("ann", move.intent.who);
  const auto by_gid = As<MoveCommand>({"cluster", "move", "--gid", "order-17", "b"});
  EXPECT_EQ("order-17", by_gid.gid);
  EXPECT_EQ("b", by_gid.node);
  EXPECT_TRUE(by_gid.slots.empty());
  for (const char* wrong : {"", "-", "1-", "-1", "6-4", "x", "1-2-3", "70000", "+1", "0x1"}) {
    EXPECT_NE("", Bad({"cluster", "move", "--", wrong, "b"})) << wrong;
  }
  EXPECT_NE(std::string::npos, Bad({"cluster", "move", "b"}).find("name the slots, or --gid"));
  EXPECT_NE(std::string::npos,
            Bad({"cluster", "move", "1", "b", "--gid", "g"}).find("name the slots, or --gid"));
  const auto unpin = As<UnpinCommand>({"cluster", "unpin", "17", "4-6", "--reason", "why"});
  EXPECT_EQ((std::vector<std::uint32_t>{17, 4, 5, 6}), unpin.slots);
  EXPECT_EQ("why", unpin.intent.reason);
  EXPECT_EQ("b", As<UnpinCommand>({"cluster", "unpin", "--node", "b"}).node);
  EXPECT_TRUE(As<UnpinCommand>({"cluster", "unpin", "--all"}).all);
  EXPECT_NE(std::string::npos, Bad({"cluster", "unpin"}).find("name the slots, or one of --gid"));
  (void)Bad({"cluster", "unpin", "--all", "--node", "b"});
  (void)Bad({"cluster", "unpin", "b"});
  EXPECT_TRUE(As<FenceCommand>({"cluster", "fence", "b", "--yes"}).intent.yes);
}

TEST_F(CommandLine, NoNodeAndNoGidAreNamed) {
  for (const char* command : {"drain", "fence"}) {
    EXPECT_NE(std::string::npos,
              Bad({"cluster", command, ""}).find("NODE: is empty: name a member"))
        << command;
  }
  EXPECT_NE(std::string::npos, Bad({"cluster", "move", "1", ""}).find("NODE: is empty: name a"));
  // It would have pinned the slot of a transaction that nobody can begin.
  const std::vector<std::vector<std::string>> commands = {{"cluster", "move", "--gid", "a b", "c"},
                                                          {"cluster", "unpin", "--gid", "a b"},
                                                          {"cluster", "locate", "a b"}};
  for (const auto& command : commands) {
    EXPECT_NE(std::string::npos, Bad(command).find("'a b' is no gid: it takes 1 to 64 of [A-"))
        << command[1];
  }
}

TEST_F(CommandLine, RestoredNamesTheLog) {
  const auto restored =
      As<RestoredCommand>({"cluster", "restored", "postgresql://db/assent", "--yes"});
  EXPECT_EQ("postgresql://db/assent", restored.log);
  EXPECT_TRUE(restored.yes);
  EXPECT_TRUE(
      As<RestoredCommand>({"cluster", "restored", "postgresql://db/a", "--dry-run"}).dry_run);
  EXPECT_TRUE(As<RestoredCommand>({"cluster", "restored", "postgresql://db/a", "-n"}).dry_run);
  EXPECT_TRUE(As<RestoredCommand>({"cluster", "restored", "postgresql://db/a", "-y"}).yes);
  EXPECT_NE(std::string::npos, Bad({"cluster", "restored"}).find("LOG"));
}

TEST_F(CommandLine, MigrateNamesBothPlaces) {
  const auto migrate =
      As<MigrateCommand>({"migrate", "--from", "sqlite:/data", "--to", "postgresql://db/assent"});
  EXPECT_EQ("sqlite:/data", migrate.from);
  EXPECT_EQ("postgresql://db/assent", migrate.to);
  // assentd would not find it elsewhere.
  EXPECT_NE(std::string::npos,
            Bad({"migrate", "--from", "a", "--to", "b", "--schema", "c"}).find("--schema"));
  EXPECT_NE(std::string::npos, Bad({"migrate", "--from", "sqlite:/data"}).find("--to"));
}

TEST_F(CommandLine, SeveralCoordinators) {
  env["ASSENT_ENDPOINT"] = "a,b:1";
  EXPECT_EQ("a:7400,b:1", Good({"list"}).options.endpoint);
  EXPECT_EQ("c:7400", Good({"--endpoint", "c", "list"}).options.endpoint);
  EXPECT_NE(std::string::npos, Bad({"--endpoint", "a,", "list"}).find("is not an address"));
}

// Help of what there is not ended with 0: a script that misspells a command believed that it had
// run.
TEST_F(CommandLine, HelpOfNothingIsAMistake) {
  EXPECT_NE(std::string::npos, Bad({"nonsense", "--help"}).find("there is no command nonsense"));
  EXPECT_NE(std::string::npos, Bad({"--help", "nonsense"}).find("there is no command nonsense"));
  EXPECT_NE(std::string::npos, Bad({"nonsense", "-h"}).find("Try: assentctl --help"));
}

TEST_F(CommandLine, EveryHelpHasAnExampleThatParses) {
  const std::vector<std::string> names = CommandNames();
  EXPECT_LE(24U, names.size());
  for (const std::string& name : names) {
    std::istringstream words(name + " --help");
    auto parsed = Parse({std::istream_iterator<std::string>(words), {}});
    const auto* end = std::get_if<ParseEnd>(&parsed);
    ASSERT_NE(nullptr, end) << name;
    EXPECT_EQ(Exit::kDone, end->exit) << name;
    EXPECT_EQ("", end->err) << name;
    EXPECT_NE(std::string::npos, end->out.find("Examples:\n  ")) << name;
    EXPECT_NE(std::string::npos, end->out.find("assentctl " + name)) << end->out;
    // What is not an example to be copied fits on a page.
    std::istringstream lines(end->out.substr(0, end->out.find("Examples:")));
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100U) << line;
  }
}

}  // namespace
}  // namespace assent::ctl
