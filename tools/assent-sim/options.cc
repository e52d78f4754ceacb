#include "tools/assent-sim/options.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "tools/assent-sim/dice.h"

namespace assent::sim {
namespace {

// A swarm member: usually off, sometimes a little, sometimes a lot.
std::uint32_t Rate(Dice& dice, std::uint32_t on_permille, std::uint32_t high) {
  if (!dice.Chance(on_permille)) return 0;
  return static_cast<std::uint32_t>(dice.Spread(1, high));
}

std::uint32_t Count(Dice& dice, std::uint32_t on_permille, std::uint32_t high) {
  if (!dice.Chance(on_permille)) return 0;
  return static_cast<std::uint32_t>(dice.Between(1, high));
}

void DrawSizes(Options& o, Dice& dice, Form form) {
  const bool full = form == Form::kFull;
  o.workload = static_cast<Workload>(dice.Below(3));
  o.transactions = static_cast<std::uint32_t>(full ? dice.Between(4, 40) : dice.Between(1, 3));
  o.services = static_cast<std::uint32_t>(dice.Between(1, full ? 5 : 3));
  o.max_branches = static_cast<std::uint32_t>(dice.Between(1, full ? 6 : 3));
  o.accounts = static_cast<std::uint32_t>(dice.Between(1, full ? 6 : 3));
  o.shards = full && dice.Chance(400) ? static_cast<std::uint32_t>(dice.Between(2, 3)) : 1;
  o.protocols = dice.Chance(400) ? 7 : static_cast<std::uint32_t>(dice.Between(1, 7));
  o.unary_services = dice.Chance(400) ? static_cast<std::uint32_t>(dice.Between(1, o.services)) : 0;
  o.router_in_flight = Count(dice, 200, 2);
  o.router_queue = Count(dice, 200, 2);
  o.interactive = Rate(dice, 300, 1000);
  o.single_branch = Rate(dice, 300, 1000);
  o.pivot = Rate(dice, 400, 1000);
  o.check_back = Rate(dice, 500, 1000);
  o.declared_order = Rate(dice, 300, 1000);
  o.refuse = Rate(dice, 300, 300);
  o.read_only = Rate(dice, 200, 400);
  o.retry_later = Rate(dice, 200, 300);
  o.refuse_second = Rate(dice, 100, 600);
  o.scarce = Rate(dice, 200, 1000);
  o.bounded_attempts = Rate(dice, 200, 1000);
  o.initiator_retries = Rate(dice, 300, 500);
  o.initiator_vanishes = Rate(dice, 200, 700);
  o.other_content = Rate(dice, 50, 300);
}

void DrawSpeeds(Options& o, Dice& dice) {
  o.net_max = dice.Spread(20, 20 * kMillisecond);
  o.turn_max = dice.Spread(1, 2 * kMillisecond);
  o.log_write_max = dice.Spread(1, 2 * kMillisecond);
  o.log_sync_max = dice.Chance(50) ? 10 * kSecond : dice.Spread(10, 20 * kMillisecond);
  o.group_max = dice.Spread(1, 5 * kMillisecond);
  o.commit_max = dice.Spread(10, 10 * kMillisecond);
  const Time pace = o.net_max * 4 + o.log_write_max + o.log_sync_max + o.commit_max + o.group_max;
  o.window = dice.Spread(pace, pace * 64);
  o.restart_max = dice.Spread(pace, pace * 16);
  o.deadline = std::min<Time>(dice.Spread(pace * 2, pace * 256) + kMillisecond, kHour);
  o.attempt_timeout = dice.Spread(pace + kMillisecond, pace * 16 + 2 * kMillisecond);
  o.backoff = dice.Spread(kMillisecond, kMillisecond + pace * 2);
  o.max_backoff = o.backoff * dice.Between(1, 16);
  o.question_interval = dice.Spread(pace * 4, pace * 64);
  o.hub_tick = dice.Spread(pace, pace * 8);
  o.keepalive = dice.Spread(pace, pace * 32);
}

void DrawFaults(Options& o, Dice& dice, Form form) {
  const std::uint32_t more = form == Form::kFull ? 3 : 1;
  o.coordinator_deaths = Count(dice, 500, 3 * more);
  o.participant_deaths = Count(dice, 350, 3 * more);
  o.session_cuts = Count(dice, 300, 3 * more);
  o.partitions = Count(dice, 150, 2 * more);
  o.pauses = Count(dice, 80, 1);
  o.wall_jumps = Count(dice, 80, 2);
  o.log_full_spells = Count(dice, 100, 2);
  o.log_sync_failures = Count(dice, 100, 2);
  o.participant_full_spells = Count(dice, 80, 2);
  o.operator_acts = Count(dice, 200, 4 * more);
  o.lie = Rate(dice, 80, 500);
  o.slow_call = Rate(dice, 80, 200);
  o.commit_unknown = Rate(dice, 60, 100);
  o.unary_loss = Rate(dice, 400, 300);
  o.unary_duplicate = Rate(dice, 400, 400);
  o.unary_hours = Rate(dice, 150, 200);
  o.power_loss = static_cast<std::uint32_t>(dice.Below(1001));
  o.dead_service = dice.Chance(40);
  o.retire_rows = dice.Chance(150);
  if (!o.dead_service) return;
  // Its transactions are retried all the while; and one whose pivot it has would hold the rows of
  // others for ever.
  o.unary_hours = o.pivot = 0;
}

// Drawn from a sequence of its own, so that the draws above mean what they meant before.
void DrawRest(Options& o, Dice& dice, Form form) {
  const std::uint32_t more = form == Form::kFull ? 8 : 1;
  o.max_live = Count(dice, 100, 2 * more);
  o.log_queue = Count(dice, 100, 4 * more);
  o.lazy_write = dice.Chance(200) ? dice.Spread(1, kSecond) : 0;
  if (o.faultless()) return;
  if (o.unary_services > 0) o.unary_words = Rate(dice, 500, 600);
  o.participant_stops = Count(dice, 100, 2);
  o.restores = !o.dead_service && dice.Chance(60);
  if (!o.restores) return;
  // Other content under a gid that the restored log has missed is another transaction; and what
  // would be asked for once more must find its barrier row.
  o.other_content = 0;
  o.retire_rows = false;
}

// The same again.
void DrawLogTroubles(Options& o, Dice& dice) {
  if (o.faultless()) return;
  if (dice.Chance(200)) {
    o.retention = 100 * 24 * kHour;  // longer than any schedule: all of it must be there in the end
    o.wall_leaps = Count(dice, 600, 3);
  }
  o.lost_wals = Count(dice, 60, 2);
  if (!o.restores && !o.dead_service) o.taken_gids = Count(dice, 60, 2);
}

// In how many schedules of the mixture there are several coordinators: one of so many.
constexpr std::uint64_t kClusterEach = 16;

// The same again. What a log of one owner alone can suffer is left out.
void DrawCluster(Options& o, Dice& dice, Form form, std::uint32_t coordinators) {
  const std::uint32_t more = form == Form::kFull ? 3 : 1;
  o.coordinators =
      coordinators != 0 ? coordinators : static_cast<std::uint32_t>(dice.Between(2, 3));
  o.slots = static_cast<std::uint32_t>(dice.Between(4, 16));
  o.shards = dice.Chance(300) ? 2 : 1;
  o.log_write_max = std::min<Time>(o.log_write_max, kMillisecond);
  o.log_sync_max = std::min<Time>(o.log_sync_max, 5 * kMillisecond);
  o.net_max = std::min<Time>(o.net_max, 10 * kMillisecond);
  const Time commit = 4 * o.log_write_max + 2 * o.log_sync_max;
  o.lease = std::max<Time>(30 * kMillisecond, 40 * commit) * dice.Between(1, 3);
  o.lock_timeout = o.lease / 10;
  o.window = o.lease * dice.Between(2, 8);
  o.restart_max = dice.Spread(o.lease / 8, o.lease * 4);
  o.deadline = std::min<Time>(o.deadline, 32 * o.lease);
  // Somebody shows that he is there all the time: what waits for hours would be millions of events.
  o.attempt_timeout = std::min<Time>(o.attempt_timeout, 4 * o.lease);
  o.backoff = std::min<Time>(o.backoff, o.lease);
  o.max_backoff = std::min<Time>(o.max_backoff, 4 * o.lease);
  o.hub_tick = std::min<Time>(o.hub_tick, o.lease);
  o.question_interval = std::min<Time>(o.question_interval, 8 * o.lease);
  o.keepalive = std::min<Time>(o.keepalive, 2 * o.lease);
  o.restores = o.dead_service = o.retire_rows = false;
  o.log_full_spells = o.log_sync_failures = o.lost_wals = o.taken_gids = o.wall_leaps = 0;
  o.unary_hours = 0;
  o.retention = 0;
  if (o.faultless()) return;
  o.coordinator_deaths = Count(dice, 600, 3 * more);
  o.pauses = Count(dice, 500, 2 * more);
  o.asynchronous = dice.Chance(250);
  o.store_cut = Rate(dice, 500, 60);
  o.store_cuts = Count(dice, 300, 2 * more);
  o.store_blocks = Count(dice, 300, 2 * more);
  o.store_outages = Count(dice, 150, more);
  o.fail_overs = Count(dice, 200, more);
  o.cancelled_waits = o.asynchronous ? 0 : Count(dice, 200, 4 * more);
  o.peer_blocks = Count(dice, 200, more);
  o.drains = Count(dice, 150, more);
  o.moves = Count(dice, 200, 4 * more);
}

// The same again.
void DrawMoreOfCluster(Options& o, Dice& dice, Form form) {
  const std::uint32_t more = form == Form::kFull ? 3 : 1;
  o.old_rows = Count(dice, 500, 8);
  if (o.faultless()) return;
  o.forward_cut = Rate(dice, 300, 300);
  o.standby_gones = Count(dice, 200, more);
  o.clocks_apart = dice.Chance(300) ? dice.Between(-5, 5) : 0;
  o.unreached = Count(dice, 250, 2 * more);
  o.slot_damages = Count(dice, 100, more);
  o.store_restores = Count(dice, 60, 1);
  o.all_die = Count(dice, 100, 1);
  if (o.store_restores > 0) o.other_content = 0;  // as of a log that is restored
}

using Numbers = std::vector<std::pair<const char*, std::int64_t>>;

// Those that are numbers.
Numbers NumbersOf(const Options& o) {
  return {
      {"workload", static_cast<std::int64_t>(o.workload)},
      {"transactions", o.transactions},
      {"services", o.services},
      {"max_branches", o.max_branches},
      {"accounts", o.accounts},
      {"shards", o.shards},
      {"protocols", o.protocols},
      {"unary_services", o.unary_services},
      {"router_in_flight", o.router_in_flight},
      {"router_queue", o.router_queue},
      {"interactive", o.interactive},
      {"single_branch", o.single_branch},
      {"pivot", o.pivot},
      {"check_back", o.check_back},
      {"declared_order", o.declared_order},
      {"refuse", o.refuse},
      {"read_only", o.read_only},
      {"retry_later", o.retry_later},
      {"refuse_second", o.refuse_second},
      {"scarce", o.scarce},
      {"bounded_attempts", o.bounded_attempts},
      {"initiator_retries", o.initiator_retries},
      {"initiator_vanishes", o.initiator_vanishes},
      {"other_content", o.other_content},
      {"net_max", o.net_max},
      {"turn_max", o.turn_max},
      {"log_write_max", o.log_write_max},
      {"log_sync_max", o.log_sync_max},
      {"group_max", o.group_max},
      {"commit_max", o.commit_max},
      {"window", o.window},
      {"restart_max", o.restart_max},
      {"deadline", o.deadline},
      {"attempt_timeout", o.attempt_timeout},
      {"backoff", o.backoff},
      {"max_backoff", o.max_backoff},
      {"question_interval", o.question_interval},
      {"hub_tick", o.hub_tick},
      {"policies", o.policies},
      {"keepalive", o.keepalive},
      {"coordinator_deaths", o.coordinator_deaths},
      {"participant_deaths", o.participant_deaths},
      {"session_cuts", o.session_cuts},
      {"partitions", o.partitions},
      {"pauses", o.pauses},
      {"wall_jumps", o.wall_jumps},
      {"log_full_spells", o.log_full_spells},
      {"log_sync_failures", o.log_sync_failures},
      {"participant_full_spells", o.participant_full_spells},
      {"operator_acts", o.operator_acts},
      {"lie", o.lie},
      {"slow_call", o.slow_call},
      {"commit_unknown", o.commit_unknown},
      {"unary_loss", o.unary_loss},
      {"unary_words", o.unary_words},
      {"unary_duplicate", o.unary_duplicate},
      {"unary_hours", o.unary_hours},
      {"participant_stops", o.participant_stops},
      {"max_live", o.max_live},
      {"log_queue", o.log_queue},
      {"lazy_write", o.lazy_write},
      {"retention", o.retention},
      {"wall_leaps", o.wall_leaps},
      {"lost_wals", o.lost_wals},
      {"taken_gids", o.taken_gids},
  };
}

Numbers ClusterNumbersOf(const Options& o) {
  if (o.coordinators == 1) return {};
  return {
      {"coordinators", o.coordinators},
      {"slots", o.slots},
      {"lease", o.lease},
      {"asynchronous", o.asynchronous ? 1 : 0},
      {"store_cut", o.store_cut},
      {"store_cuts", o.store_cuts},
      {"store_blocks", o.store_blocks},
      {"store_outages", o.store_outages},
      {"fail_overs", o.fail_overs},
      {"cancelled_waits", o.cancelled_waits},
      {"peer_blocks", o.peer_blocks},
      {"drains", o.drains},
      {"moves", o.moves},
      {"old_rows", o.old_rows},
      {"forward_cut", o.forward_cut},
      {"standby_gones", o.standby_gones},
      {"clocks_apart", o.clocks_apart},
      {"unreached", o.unreached},
      {"slot_damages", o.slot_damages},
      {"store_restores", o.store_restores},
      {"all_die", o.all_die},
  };
}

}  // namespace

Options Draw(std::uint64_t seed, Form form, std::uint32_t coordinators) {
  Dice dice(seed * 2 + (form == Form::kFull ? 1 : 0));
  Options o;
  o.seed = seed;
  DrawSizes(o, dice, form);
  DrawSpeeds(o, dice);
  if (!dice.Chance(50)) DrawFaults(o, dice, form);
  Dice rest(~dice.Next());
  DrawRest(o, rest, form);
  Dice troubles(seed * 2 + 0x10c);
  DrawLogTroubles(o, troubles);
  Dice policies(seed * 2 + 0x7aff1c);
  if (policies.Chance(600)) o.policies = static_cast<std::uint32_t>(policies.Between(1, 1'000));
  Dice cluster(seed * 2 + 0xc105);
  const bool several = coordinators == 0 ? seed % kClusterEach == 0 : coordinators > 1;
  if (several) {
    DrawCluster(o, cluster, form, coordinators);
    Dice again(seed * 2 + 0xc1057e5);
    DrawMoreOfCluster(o, again, form);
  }
  return o;
}

bool Options::faultless() const {
  return coordinator_deaths + participant_deaths + session_cuts + partitions + pauses + wall_jumps +
                 log_full_spells + log_sync_failures + participant_full_spells + operator_acts +
                 lie + slow_call + commit_unknown + unary_loss + unary_words + unary_duplicate +
                 unary_hours + participant_stops + wall_leaps + lost_wals + taken_gids + store_cut +
                 store_cuts + store_blocks + store_outages + fail_overs + cancelled_waits +
                 peer_blocks + drains + moves + forward_cut + standby_gones + unreached +
                 slot_damages + store_restores + all_die ==
             0 &&
         clocks_apart == 0 && !dead_service && !restores;
}

std::string Options::Describe() const {
  std::string text;
  Numbers numbers = NumbersOf(*this);
  const Numbers more = ClusterNumbersOf(*this);
  numbers.insert(numbers.end(), more.begin(), more.end());
  for (const auto& [name, value] : numbers) {
    if (value != 0)
      text += (text.empty() ? "" : " ") + std::string(name) + "=" + std::to_string(value);
  }
  if (dead_service) text += " dead_service";
  if (retire_rows) text += " retire_rows";
  if (restores) text += " restores";
  return text + " power_loss=" + std::to_string(power_loss);
}

}  // namespace assent::sim
