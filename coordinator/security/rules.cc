#include "coordinator/security/rules.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <system_error>
#include <utility>
#include <vector>

#include <assent/limits.h>
#include <assent/name.h>
#include <assent/text.h>

#include "coordinator/security/tokens.h"

namespace assent::security {
namespace {

// A line's words: what blanks separate; ',', '(' and ')' are words of their own.
std::vector<std::string_view> WordsOf(std::string_view line) {
  std::vector<std::string_view> words;
  std::size_t begin = 0;
  const auto end_word = [&](std::size_t at) {
    if (at > begin) words.push_back(line.substr(begin, at - begin));
    begin = at + 1;
  };
  for (std::size_t i = 0; i <= line.size(); ++i) {
    const char c = i < line.size() ? line[i] : ' ';
    if (c == '#' && i == begin) break;
    const bool mark = c == ',' || c == '(' || c == ')';
    if (c != ' ' && c != '\t' && c != '\r' && !mark) continue;
    end_word(i);
    if (mark) words.push_back(line.substr(i, 1));
  }
  return words;
}

std::string Quoted(std::string_view word) { return "\"" + CleanText(word, 100) + "\""; }

class LineReader {
 public:
  LineReader(std::vector<std::string_view> words, Rule& rule)
      : words_(std::move(words)), rule_(rule) {}

  Status Read() {
    if (!Take("allow")) return Expected("allow IDENTITY as ROLE, or limit IDENTITY to …");
    rule_.identity = std::string(Next());
    if (const Status named = CheckIdentity(rule_.identity); !named.ok()) return named;
    if (!Take("as")) return Expected("as ROLE");
    const std::string_view role = Next();
    const auto known = RoleOf(role);
    if (!known) {
      return InvalidArgument(Quoted(role) +
                             " is no role: it takes initiator, participant, viewer, operator, "
                             "admin or coordinator");
    }
    rule_.role = *known;
    if (Take("for")) {
      if (const Status scopes = ReadScopes(); !scopes.ok()) return scopes;
    }
    while (Take("with")) {
      if (const Status more = ReadWith(); !more.ok()) return more;
    }
    if (at_ < words_.size()) return Expected("for …, with … or the line's end");
    return Check();
  }

 private:
  bool Take(std::string_view word) {
    if (at_ == words_.size() || words_[at_] != word) return false;
    ++at_;
    return true;
  }
  std::string_view Next() { return at_ < words_.size() ? words_[at_++] : std::string_view(); }
  Status Expected(const std::string& what) const {
    return InvalidArgument((at_ < words_.size() ? Quoted(words_[at_]) : "the line's end") +
                           " stands where there should be: " + what);
  }

  Status ReadName(std::string_view what, const NameRule& takes, std::string& name) {
    name = std::string(Next());
    if (name == "*" || FaultOf(name, takes) == NameFault::kNone) return OkStatus();
    return InvalidArgument((name.empty() ? "the line's end" : Quoted(name)) + " is no name of " +
                           std::string(what) + ": it takes 1 to " +
                           std::to_string(takes.max_bytes) + " of " + std::string(takes.allowed()));
  }
  Status ReadScopes() {
    do {
      Scope scope;
      if (const Status named = ReadName("a service", kServiceRule, scope.service); !named.ok())
        return named;
      if (Take("(")) {
        do {
          scope.actions.emplace_back();
          const Status named = ReadName("an action", kActionRule, scope.actions.back());
          if (!named.ok()) return named;
        } while (Take(","));
        if (!Take(")")) return Expected(", or )");
        if (std::find(scope.actions.begin(), scope.actions.end(), "*") != scope.actions.end())
          scope.actions.clear();
      }
      if (rule_.scopes.size() == kMaxScopesPerRuleCount)
        return InvalidArgument("more than " + std::to_string(kMaxScopesPerRuleCount) +
                               " services: make two rules of it");
      rule_.scopes.push_back(std::move(scope));
    } while (Take(","));
    return OkStatus();
  }
  Status ReadWith() {
    if (Take("payloads")) {
      rule_.payloads = true;
      return OkStatus();
    }
    if (!Take("gids")) return Expected("gids PREFIX or payloads");
    // Whoever reads two expects that either is enough, or both are needed.
    if (!rule_.gid_prefix.empty())
      return InvalidArgument("\"with gids\" stands there twice: make two rules of it");
    rule_.gid_prefix = std::string(Next());
    if (FaultOf(rule_.gid_prefix, kGidRule) == NameFault::kNone) return OkStatus();
    return InvalidArgument(Quoted(rule_.gid_prefix) + " is no beginning of a gid");
  }

  // What makes no sense for a role is no rule: somebody meant something else.
  Status Check() const {
    const bool initiator = rule_.role == Role::kInitiator;
    const bool scoped = initiator || rule_.role == Role::kParticipant;
    const bool shown =
        rule_.role == Role::kViewer || rule_.role == Role::kOperator || rule_.role == Role::kAdmin;
    const std::string role(Name(rule_.role));
    if (scoped && rule_.scopes.empty())
      return InvalidArgument("for which services? \"as " + role + " for NAME, …\"; * is all");
    if (!scoped && !rule_.scopes.empty())
      return InvalidArgument("\"for\" is of initiators and participants, not of " + role);
    if (!initiator && !rule_.gid_prefix.empty())
      return InvalidArgument("\"with gids\" is of initiators, not of " + role);
    if (!shown && rule_.payloads)
      return InvalidArgument("\"with payloads\" is of viewers, operators and admins, not of " +
                             role);
    if (rule_.role == Role::kParticipant &&
        std::any_of(rule_.scopes.begin(), rule_.scopes.end(),
                    [](const Scope& scope) { return !scope.actions.empty(); }))
      return InvalidArgument("a participant has a whole service: leave its actions out");
    return OkStatus();
  }

  const std::vector<std::string_view> words_;
  std::size_t at_ = 0;
  Rule& rule_;
};

// A name goes before all patterns, of these the longest first, "anyone" comes last.
std::size_t ExactnessOf(std::string_view identity) {
  if (identity == "anyone") return 0;
  return identity.ends_with('*') ? identity.size() : SIZE_MAX;
}

// Two for one would depend on their order.
Status CheckIsNew(const std::deque<Limit>& limits, const Limit& limit) {
  const auto same = std::find_if(limits.begin(), limits.end(), [&](const Limit& other) {
    return other.identity == limit.identity;
  });
  if (same == limits.end()) return OkStatus();
  return InvalidArgument(limit.identity + " has its limits in line " + std::to_string(same->line) +
                         ": make one line of both");
}

// As the system writes it. Its highest number is nobody's.
bool IsUserId(std::string_view text) {
  std::uint32_t uid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), uid);
  return error == std::errc() && end == text.data() + text.size() &&
         (text == "0" || text.front() != '0') && uid != std::numeric_limits<std::uint32_t>::max();
}

// A limit of a token that there cannot be would limit nobody.
Status CheckToken(std::string_view identity) {
  constexpr std::string_view kToken = "token:";
  if (!identity.starts_with(kToken)) return OkStatus();
  std::string_view name = identity.substr(kToken.size());
  if (name == "*") return OkStatus();
  if (name.ends_with('*')) name.remove_suffix(1);
  if (IsTokenName(name)) return OkStatus();
  return InvalidArgument(Quoted(identity) + " is no token's: its name takes 1 to " +
                         std::to_string(kMaxTokenNameBytes) + " of [a-z0-9.-]");
}

}  // namespace

Status CheckIdentity(std::string_view identity) {
  if (identity == "anyone" || identity == "unix") return OkStatus();
  if (identity.size() > limits::kMaxIdentityBytes) {
    return InvalidArgument("an identity has at most " + std::to_string(limits::kMaxIdentityBytes) +
                           " bytes");
  }
  if (identity.starts_with(kUnixUser)) {
    if (IsUserId(identity.substr(kUnixUser.size()))) return OkStatus();
    return InvalidArgument(Quoted(identity) +
                           " is no identity: unix:UID takes the number that `id -u` says, and unix "
                           "alone is everybody who gets to the socket");
  }
  const auto kinds = {"dns:", "cn:", "token:", "jwt:"};
  const bool of_kind = std::any_of(kinds.begin(), kinds.end(), [&](std::string_view kind) {
    return identity.starts_with(kind) && identity.size() > kind.size();
  });
  const std::size_t scheme = identity.find("://");
  const bool uri = scheme != std::string_view::npos && scheme > 0;
  const bool plain =
      std::all_of(identity.begin(), identity.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if ((!of_kind && !uri) || !plain) {
    return InvalidArgument(Quoted(identity) +
                           " is no identity: it takes a URI such as spiffe://shop/payment, "
                           "dns:NAME, cn:NAME, token:NAME, jwt:SUBJECT, unix:UID, unix or anyone");
  }
  const std::size_t star = identity.find('*');
  if (star != std::string_view::npos && star + 1 != identity.size())
    return InvalidArgument("in " + Quoted(identity) + " the * is not at the end");
  return CheckToken(identity);
}

Result<Rules> Rules::Parse(std::string_view text) {
  if (text.size() > kMaxRulesBytes) {
    return InvalidArgument("it has " + std::to_string(text.size()) + " bytes, the limit is " +
                           std::to_string(kMaxRulesBytes));
  }
  Rules rules;
  const bool is_cut = !text.empty() && text.back() != '\n';
  int number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    std::vector<std::string_view> words = WordsOf(line);
    if (words.empty()) continue;
    const auto at = "line " + std::to_string(number) + ": ";
    if (rules.rules_.size() + rules.limits_.size() == kMaxRulesCount)
      return InvalidArgument(at + "more than " + std::to_string(kMaxRulesCount) + " rules");
    if (words.front() == "limit") {
      Limit limit{.line = number, .text = std::string(line)};
      Status read = ReadLimit(words, limit);
      if (read.ok()) read = CheckIsNew(rules.limits_, limit);
      if (!read.ok()) return InvalidArgument(at + read.message());
      rules.limits_.push_back(std::move(limit));
      continue;
    }
    Rule rule{.line = number, .text = std::string(line)};
    const Status read = LineReader(std::move(words), rule).Read();
    if (!read.ok()) return InvalidArgument(at + read.message());
    rules.rules_.push_back(std::move(rule));
  }
  if (is_cut) {
    return InvalidArgument("line " + std::to_string(number) +
                           ": the last line does not end, so that it may have been cut, and allow "
                           "more than was written: end it with a newline");
  }
  std::stable_sort(rules.limits_.begin(), rules.limits_.end(), [](const Limit& a, const Limit& b) {
    return ExactnessOf(a.identity) > ExactnessOf(b.identity);
  });
  return rules;
}

Quota Rules::QuotaOf(std::string_view identity) const {
  Quota quota;
  const auto take = [](std::uint64_t& figure, std::uint64_t more) {
    if (figure == 0) figure = more;
  };
  for (const Limit& limit : limits_) {
    if (!SpeaksOf(limit.identity, identity)) continue;
    take(quota.requests, limit.quota.requests);
    take(quota.calls, limit.quota.calls);
    take(quota.streams, limit.quota.streams);
    take(quota.sessions, limit.quota.sessions);
    take(quota.transactions, limit.quota.transactions);
    take(quota.bytes, limit.quota.bytes);
  }
  return quota;
}

Grants Rules::For(std::string_view identity, AccountPtr account) const {
  std::vector<const Rule*> found;
  for (const Rule& rule : rules_) {
    if (SpeaksOf(rule.identity, identity)) found.push_back(&rule);
  }
  return Grants(std::move(found), QuotaOf(identity), std::move(account));
}

}  // namespace assent::security
