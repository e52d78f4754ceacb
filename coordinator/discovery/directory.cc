#include "coordinator/discovery/directory.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <iterator>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>

namespace assent::discovery {
namespace {

std::string Listed(const std::set<Place>& places) {
  constexpr std::size_t kMaxShownCount = 8;
  std::string text;
  std::size_t shown = 0;
  for (const Place& place : places) {
    if (shown++ == kMaxShownCount) return text + ", …";
    text += (text.empty() ? "" : ", ") + place.host + ":" + std::to_string(place.port);
  }
  return text;
}

constexpr const char* kLoopback = "it is this machine itself, which --discover-loopback allows";
constexpr const char* kNobody = "no participant has such an address";

std::string WhyUnusableV4(std::uint32_t address, bool loopback_allowed) {
  const std::uint32_t first = address >> 24;
  if (first == 127) return loopback_allowed ? "" : kLoopback;
  const bool link_local = (address >> 16) == 0xa9fe;  // 169.254
  return first == 0 || first >= 224 || link_local ? kNobody : "";
}

// Whoever names it, it is one.
class Together {
 public:
  // `setting`: of the service, which names it.
  void Add(const std::string& service, const std::string& setting,
           const transport::Endpoint& endpoint) {
    const auto at = by_address_.try_emplace(endpoint.address, endpoint, 0).first;
    auto& [known, settings] = at->second;
    if (++settings > kMaxShownSettingsCount + 1) return;
    if (!known.source.empty()) known.source += ", ";
    known.source += settings > kMaxShownSettingsCount ? "…" : "--unary " + service + "=" + setting;
  }
  std::vector<transport::Endpoint> All() && {
    std::vector<transport::Endpoint> all;
    for (auto& [address, one] : by_address_) all.push_back(std::move(one.first));
    return all;
  }

 private:
  std::map<std::string, std::pair<transport::Endpoint, std::size_t>> by_address_;
};

}  // namespace

std::string WhyUnusable(const std::string& host, bool loopback_allowed) {
  in_addr v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1)
    return WhyUnusableV4(ntohl(v4.s_addr), loopback_allowed);
  in6_addr v6{};
  if (inet_pton(AF_INET6, host.c_str(), &v6) != 1) return "it is no address";
  if (IN6_IS_ADDR_LOOPBACK(&v6)) return loopback_allowed ? "" : kLoopback;
  if (IN6_IS_ADDR_V4MAPPED(&v6)) {
    std::uint32_t last = 0;
    std::memcpy(&last, &v6.s6_addr[12], sizeof last);
    return WhyUnusableV4(ntohl(last), loopback_allowed);
  }
  const bool nobody = IN6_IS_ADDR_UNSPECIFIED(&v6) || IN6_IS_ADDR_LINKLOCAL(&v6) ||
                      IN6_IS_ADDR_MULTICAST(&v6) || IN6_IS_ADDR_V4COMPAT(&v6);
  return nobody ? kNobody : "";
}

std::string WhyUnusableHost(const std::string& host, bool loopback_allowed) {
  const bool in_digits = host.find_first_not_of("0123456789.") == std::string::npos ||
                         host.find(':') != std::string::npos;
  if (in_digits) return WhyUnusable(host, loopback_allowed);
  std::string lower = host;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  constexpr std::string_view kOwn = "localhost";
  const bool own =
      lower == kOwn || (lower.size() > kOwn.size() &&
                        lower.compare(lower.size() - kOwn.size() - 1, std::string::npos,
                                      "." + std::string(kOwn)) == 0);
  return own && !loopback_allowed ? kLoopback : "";
}

Directory::Directory(const std::map<std::string, std::vector<std::string>>& services,
                     DirectoryOptions options)
    : options_(options) {
  std::map<std::string, std::size_t> numbers;
  for (const auto& [service, addresses] : services) {
    for (const std::string& address : addresses) {
      if (!IsName(address)) {
        fixed_[service].insert(address);
        continue;
      }
      auto name = ParseName(address);
      ASSENT_CHECK(name.ok());  // the settings' check
      const auto [number, fresh] = numbers.emplace(address, names_.size());
      if (fresh) {
        names_.push_back(std::move(name).value());
        known_.emplace_back().trouble = "it is being looked for";
      }
      names_of_[service].insert(number->second);
      known_[number->second].services.insert(service);
    }
  }
}

std::set<std::size_t> Directory::NamesOf(const std::string& service) const {
  const auto found = names_of_.find(service);
  return found == names_of_.end() ? std::set<std::size_t>() : found->second;
}

std::vector<transport::Endpoint> Directory::Endpoints(const std::string& service, bool http) const {
  Together together;
  const auto fixed = fixed_.find(service);
  if (fixed != fixed_.end()) {
    for (const std::string& address : fixed->second) {
      if (transport::IsHttp(address) == http) together.Add(service, address, address);
    }
  }
  for (const std::size_t number : NamesOf(service)) {
    const Name& name = names_[number];
    if (name.http() != http) continue;
    for (const Place& place : known_[number].places)
      together.Add(service, name.text, EndpointOf(name, place));
  }
  return std::move(together).All();
}

std::string Directory::Trouble(const std::string& service) const {
  std::string words;
  for (const std::size_t number : NamesOf(service)) {
    const Known& known = known_[number];
    if (!known.places.empty() || known.trouble.empty()) continue;
    words += (words.empty() ? "" : "; ") + names_[number].text + ": " + known.trouble;
  }
  return words;
}

Result<std::set<Place>> Directory::Usable(const Name& name, const std::vector<Place>& found,
                                          std::string& left_out) const {
  std::set<Place> places;
  for (const Place& place : found) {
    const auto why_unusable =
        name.registry == Name::Registry::kEtcd ? WhyUnusableHost : WhyUnusable;
    const std::string why = place.port == 0 ? "a port is from 1 to 65535"
                                            : why_unusable(place.host, options_.loopback_allowed);
    if (why.empty())
      places.insert(place);
    else
      left_out = place.host + ":" + std::to_string(place.port) + " is left out: " + why;
  }
  if (places.empty()) return Unavailable(left_out.empty() ? "nobody was found" : left_out);
  if (places.size() <= kMaxPlacesOfNameCount) return places;
  left_out = "it has " + std::to_string(places.size()) + " addresses, of which " +
             std::to_string(kMaxPlacesOfNameCount) + " are dialled";
  places.erase(std::next(places.begin(), kMaxPlacesOfNameCount), places.end());
  return places;
}

Directory::News Directory::Take(std::size_t number, const Result<std::vector<Place>>& found,
                                std::string left_out) {
  Known& known = known_[number];
  News news;
  Result<std::set<Place>> usable = found.ok() ? Usable(names_[number], *found, left_out)
                                              : Result<std::set<Place>>(found.status());
  if (!usable.ok()) {
    news.is_trouble = true;
    const std::string why(usable.status().message());
    if (why == known.trouble) return news;
    news.changed = known.places.empty();
    known.trouble = why;
    news.words = known.places.empty() ? why : why + "; what was last found stands";
    return news;
  }
  const bool well = known.trouble.empty();
  known.trouble.clear();
  if (*usable == known.places) {
    if (!well) news.words = "found again: " + Listed(known.places);
    return news;
  }
  known.places = *std::move(usable);
  news.changed = true;
  news.words = "found: " + Listed(known.places) + (left_out.empty() ? "" : "; " + left_out);
  return news;
}

}  // namespace assent::discovery
