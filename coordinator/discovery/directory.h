#pragma once

// Where the services are that are dialled: what the settings say, and what was found of the names
// among it. Values in, values out; who asks, and when, is the resolvers' (dns/resolver.h).
//
// Whoever is asked may be wrong, or away: nothing that was known is given up for that. What was
// last found of a name stands until something else is found; that there is nobody is no news, since
// who is really gone is not reached anyway.

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/discovery/name.h"
#include "coordinator/transport/endpoint.h"

namespace assent::discovery {

// Of one name. What is found beyond it is left out, always the same.
inline constexpr std::size_t kMaxPlacesOfNameCount = 256;

// By what one endpoint is known; of more it is said that there are.
inline constexpr std::size_t kMaxShownSettingsCount = 8;

struct DirectoryOptions {
  // What is found may be this machine itself.
  bool loopback_allowed = false;
};

// Why an address is none that anybody means who gives a name to a participant: unspecified,
// link-local (where clouds keep their secrets), multicast, broadcast; and loopback, if it is not
// allowed. Empty: it may be one.
std::string WhyUnusable(const std::string& host, bool loopback_allowed);
// The same of one that may be a name, which is looked up when it is dialled.
std::string WhyUnusableHost(const std::string& host, bool loopback_allowed);

class Directory {
 public:
  // `services`: addresses and names of each, which the settings' check has passed.
  Directory(const std::map<std::string, std::vector<std::string>>& services,
            DirectoryOptions options);

  const std::vector<Name>& names() const { return names_; }
  // How it is dialled: over HTTP, or gRPC. One that several settings name has them all for its
  // source.
  std::vector<transport::Endpoint> Endpoints(const std::string& service, bool http) const;
  // In words: which of its names nothing is known of, and why. Empty: of each something is.
  std::string Trouble(const std::string& service) const;

  // Which of names() are its, and whose one of them is.
  std::set<std::size_t> NamesOf(const std::string& service) const;
  const std::set<std::string>& ServicesOf(std::size_t name) const { return known_[name].services; }

  struct News {
    bool changed = false;
    bool is_trouble = false;
    std::string words;  // for the log; empty: it is as it was
  };
  // What was found of names()[name]. `left_out`: what of it was of no use, in words.
  News Take(std::size_t name, const Result<std::vector<Place>>& found, std::string left_out = {});

 private:
  struct Known {
    std::set<Place> places;
    std::string trouble;  // of the last look; empty: there was none
    std::set<std::string> services;
  };
  Result<std::set<Place>> Usable(const Name& name, const std::vector<Place>& found,
                                 std::string& left_out) const;

  const DirectoryOptions options_;
  std::map<std::string, std::set<std::string>> fixed_;     // by service
  std::map<std::string, std::set<std::size_t>> names_of_;  // likewise
  std::vector<Name> names_;
  std::vector<Known> known_;  // of each
};

}  // namespace assent::discovery
