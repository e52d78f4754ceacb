#include "tools/assentctl/command_line.h"

#include <algorithm>

#include "tools/assentctl/program.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

std::string EnvOr(const GetEnv& env, const char* name, const std::string& otherwise) {
  const char* value = env(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

// The lowest layer but the defaults. A file that was named must be there, the usual one need not.
Status ReadProfile(const Program& program, const ParseInputs& inputs, GlobalOptions& options) {
  const std::string named = program.profile_path.empty()
                                ? EnvOr(inputs.env, "ASSENT_PROFILE_FILE", "")
                                : program.profile_path;
  const std::string profile =
      program.profile.empty() ? EnvOr(inputs.env, "ASSENT_PROFILE", "") : program.profile;
  const std::string path = named.empty() ? DefaultProfilePath(inputs.env) : named;
  const Result<std::string> text =
      path.empty() ? Result<std::string>(NotFound("no home")) : inputs.read_file(path);
  if (text.ok()) return ApplyProfile(text.value(), path, profile, options);
  if (!named.empty() || text.status().code() != Code::kNotFound) return text.status();
  if (!profile.empty()) {
    return InvalidArgument("there is no profile '" + profile + "': " + path + " is not there");
  }
  return OkStatus();
}

void LayerTls(const Program& program, const GetEnv& env, TlsFlags& tls) {
  const auto layer = [&env](const std::string& flag, const char* name, std::string& value) {
    value = flag.empty() ? EnvOr(env, name, value) : flag;
  };
  layer(program.tls.ca, "ASSENT_TLS_CA", tls.ca);
  layer(program.tls.cert, "ASSENT_TLS_CERT", tls.cert);
  layer(program.tls.key, "ASSENT_TLS_KEY", tls.key);
  layer(program.tls.server_name, "ASSENT_TLS_SERVER_NAME", tls.server_name);
}

// A file that a flag names goes before the environment, that before the file of the profile.
void LayerToken(const Program& program, const GetEnv& env, TokenSource& token) {
  token.over_plain = program.token.over_plain || EnvOr(env, "ASSENT_TOKEN_OVER_PLAIN", "") == "1";
  if (!program.token.file.empty()) {
    token.file = program.token.file;
    return;
  }
  token.token = EnvOr(env, "ASSENT_TOKEN", "");
  const std::string other = EnvOr(env, "ASSENT_TOKEN_FILE", "");
  if (!other.empty() || !token.token.empty()) token.file = other;
}

// Profile file, then environment, then flags: each over the one before.
Result<GlobalOptions> Layer(const Program& program, const ParseInputs& inputs) {
  GlobalOptions options;
  if (const Status read = ReadProfile(program, inputs, options); !read.ok()) return read;
  const std::string endpoint =
      program.endpoint.empty() ? EnvOr(inputs.env, "ASSENT_ENDPOINT", "") : program.endpoint;
  if (!endpoint.empty()) {
    Result<std::string> normal = NormalEndpoints(endpoint);
    if (!normal.ok()) return normal.status();
    options.endpoint = normal.value();
  }
  LayerTls(program, inputs.env, options.tls);
  LayerToken(program, inputs.env, options.token);
  if (program.timeout.has_value()) {
    options.call_timeout = *program.timeout;
    options.wait_timeout = program.timeout;
  }
  // The flags were checked when they were parsed.
  if (!program.output.empty()) (void)ReadOutput(program.output, options.output);
  if (!program.time.empty()) (void)ReadTimeStyle(program.time, options.time);
  options.no_color = program.no_color;
  return options;
}

ParseEnd UsageError(const Program& program, const std::string& what) {
  std::string command = "assentctl";
  for (auto below = program.app.get_subcommands(); !below.empty();
       below = below.front()->get_subcommands()) {
    command += " " + below.front()->get_name();
  }
  return {Exit::kUsage, "", "assentctl: " + what + "\nTry: " + command + " --help\n"};
}

}  // namespace

std::variant<ParsedLine, ParseEnd> ParseCommandLine(const std::vector<std::string>& args,
                                                    const ParseInputs& inputs) {
  Program program;
  // Before CLI11: the words being completed are no command line yet.
  if (!args.empty() && args.front() == "__complete") {
    program.command = CompleteCommand{{args.begin() + 1, args.end()}};
    for (std::size_t i = 1; i + 1 < args.size(); ++i) {
      if (args[i] == "--endpoint") program.endpoint = args[i + 1];
    }
  } else {
    try {
      std::vector<std::string> reversed(args.rbegin(), args.rend());
      program.app.parse(std::move(reversed));
    } catch (const CLI::CallForHelp&) {
      if (const auto strange = program.app.remaining(); !strange.empty())
        return UsageError(program, "there is no command " + Visible(strange.front()));
      return ParseEnd{Exit::kDone, program.app.help(), ""};
    } catch (const CLI::ParseError& error) {
      return UsageError(program, error.what());
    }
  }
  if (program.version) program.command = VersionCommand();
  if (!program.command.has_value()) return ParseEnd{Exit::kUsage, "", program.app.help()};
  Result<GlobalOptions> options = Layer(program, inputs);
  if (!options.ok()) return UsageError(program, options.status().message());
  if (auto* const submit = std::get_if<SubmitCommand>(&*program.command))
    submit->traceparent = EnvOr(inputs.env, "TRACEPARENT", "");
  return ParsedLine{options.value(), *program.command};
}

std::vector<std::string> CommandNames() {
  const Program program;
  const auto all = [](const CLI::App*) { return true; };
  std::vector<std::string> names;
  for (const CLI::App* sub : program.app.get_subcommands(all)) {
    names.push_back(sub->get_name());
    for (const CLI::App* below : sub->get_subcommands(all)) {
      names.push_back(sub->get_name() + " " + below->get_name());
    }
  }
  return names;
}

}  // namespace assent::ctl
