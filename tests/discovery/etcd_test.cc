// What etcd says of where services are, on its bad days: by a store that does as it is told.
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/discovery/etcd/registration.h"
#include "coordinator/discovery/etcd/resolver.h"
#include "coordinator/discovery/etcd/value.h"

namespace assent::discovery::etcd {
namespace {

using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;

Name Of(const std::string& text) { return ParseName(text).value(); }

std::string Read(const std::string& text, const std::string& value) {
  const auto place = ReadPlace(Of(text), value);
  if (!place.ok()) return place.status().message();
  return EndpointOf(Of(text), *place).address + " as " + EndpointOf(Of(text), *place).name;
}

TEST(EtcdName, IsAPrefixAndHowItIsDialled) {
  EXPECT_EQ(Of("etcd:/services/pay").host, "/services/pay/") << "/services/payroll is another";
  EXPECT_EQ(Of("etcd:/services/pay/").host, "/services/pay/");
  EXPECT_EQ(Of("etcd:tls:pay").host, "pay/");
  EXPECT_TRUE(Of("etcd:tls:pay").secure());
  EXPECT_TRUE(Of("etcd:https:/web").secure());
  EXPECT_TRUE(Of("etcd:http:/web").http());
  EXPECT_FALSE(Of("etcd:/web").http());
  for (const char* wrong : {"etcd:", "etcd:/", "etcd:tls:", "etcd:a b", "etcd:http://web/x"})
    EXPECT_FALSE(ParseName(wrong).ok()) << wrong;
  EXPECT_FALSE(ParseName("etcd:" + std::string(kMaxEtcdPrefixBytes, 'a')).ok());
  EXPECT_EQ(EndOf("/pay/"), "/pay0");
  EXPECT_EQ(EndOf("a\xff\xff"), "b");
}

TEST(EtcdValue, IsAnAddressOrWhatEtcdsOwnPackageWrites) {
  EXPECT_EQ(Read("etcd:/p", "10.0.0.1:7001"), "10.0.0.1:7001 as ");
  EXPECT_EQ(Read("etcd:/p", "10.0.0.1:7001\n"), "10.0.0.1:7001 as ");
  EXPECT_EQ(Read("etcd:/p", "[fd00::1]:7001"), "[fd00::1]:7001 as ");
  EXPECT_EQ(Read("etcd:/p", "pay-1.internal:7001"), "pay-1.internal:7001 as ");
  EXPECT_EQ(Read("etcd:/p", R"({"Op":0,"Addr":"10.0.0.1:7001","Metadata":{"zone":"a"}})"),
            "10.0.0.1:7001 as ");
  EXPECT_EQ(Read("etcd:tls:/p", "10.0.0.1:7001"), "tls:10.0.0.1:7001 as ");
  EXPECT_EQ(Read("etcd:tls:/p", "tls:pay-1:7001"), "tls:pay-1:7001 as ");
  EXPECT_EQ(Read("etcd:http:/p", "http://web-1:80/x"), "http://web-1:80/x as ");
  EXPECT_EQ(Read("etcd:https:/p", "https://10.0.0.1:80/"), "https://10.0.0.1:80/ as ");
}

TEST(EtcdValue, GarbageIsSaidToBeSome) {
  for (const char* value : {"", "10.0.0.1", "10.0.0.1:0", "10.0.0.1:70000", ":1", "a b:1",
                            "\xff\xfe:1", "dns:pay:1", "unix:/x", "http://a:1/"})
    EXPECT_EQ(Read("etcd:/p", value), "it is no HOST:PORT") << value;
  EXPECT_EQ(Read("etcd:/p", "{"), "it is no JSON");
  EXPECT_EQ(Read("etcd:/p", std::string(kMaxValueBytes, '{')), "it is no JSON");
  EXPECT_EQ(Read("etcd:/p", std::string(kMaxValueBytes + 1, 'a')), "it has more than 4096 bytes");
  EXPECT_EQ(Read("etcd:/p", "{\"Addr\":7}"), "it has no \"Addr\"");
  EXPECT_EQ(Read("etcd:http:/p", "10.0.0.1:80"), "it does not begin with http://");
  EXPECT_EQ(Read("etcd:https:/p", "http://a:80/"), "it does not begin with https://")
      << "who writes keys takes no TLS away";
  EXPECT_EQ(Read("etcd:http:/p", "http://a:80"), "its URL takes a path: at least \"/\"");
  EXPECT_EQ(Read("etcd:http:/p", "http://a:80/\r\nX: y"), "its URL takes a path: at least \"/\"");
}

// One that answers as it is told, at however many endpoints.
class Fake {
 public:
  struct Answer {
    Status status{};
    std::vector<std::string> values{};
  };

  Dial dial() {
    return [this](const std::string& endpoint) { return std::make_unique<One>(*this, endpoint); };
  }
  void Set(const std::string& endpoint, Answer answer) {
    const std::lock_guard lock(mutex_);
    answers_[endpoint] = std::move(answer);
    ++revision_;
  }
  void Deny(const std::string& prefix) {
    Tell([&] { denied_ = prefix; });
  }
  // Something has changed, as those who watch are told.
  void Ring() {
    Tell([this] { ++rings_; });
  }
  void Break(Status why) {
    Tell([&] { why_ = std::move(why), ++breaks_; });
  }
  // Once somebody watches.
  std::string AwaitWatch() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !watched_at_.empty(); });
    return watched_at_;
  }
  // What is held by leases, once there is something.
  std::string AwaitHeld() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !held_.empty(); });
    return held_.begin()->second;
  }
  bool HoldsNothing() {
    const std::lock_guard lock(mutex_);
    return held_.empty();
  }
  std::size_t lists() {
    const std::lock_guard lock(mutex_);
    return lists_;
  }

 private:
  template <typename Change>
  void Tell(const Change& change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }

  class One final : public Store {
   public:
    One(Fake& of, std::string endpoint) : of_(of), endpoint_(std::move(endpoint)) {}
    Result<Listing> List(const std::string& prefix) override {
      const std::lock_guard lock(of_.mutex_);
      EXPECT_THAT(prefix, AnyOf("/pay/", "/ship/"));
      ++of_.lists_;
      const Answer& answer = of_.answers_[endpoint_];
      if (prefix == of_.denied_)
        return Status(Code::kPermissionDenied, "etcdserver: permission denied");
      if (!answer.status.ok()) return answer.status;
      return Listing{answer.values, static_cast<std::int64_t>(answer.values.size()), of_.revision_};
    }
    Status Watch(const std::vector<Watched>& watched,
                 const std::function<void(std::size_t)>& changed) override {
      std::unique_lock lock(of_.mutex_);
      EXPECT_LE(watched[0].revision, of_.revision_ + 1);
      of_.watched_at_ = endpoint_;
      of_.changed_.notify_all();
      std::size_t heard = of_.rings_;
      const std::size_t broken = of_.breaks_;
      while (!cancelled_ && of_.breaks_ == broken) {
        of_.changed_.wait(lock);
        if (std::exchange(heard, of_.rings_) == of_.rings_) continue;
        lock.unlock();
        for (std::size_t number = 0; number < watched.size(); ++number) changed(number);
        lock.lock();
      }
      of_.watched_at_.clear();
      return cancelled_ ? Status(Code::kCancelled, "") : of_.why_;
    }
    Result<std::int64_t> Put(const std::string& key, const std::string& value,
                             std::int64_t) override {
      const std::lock_guard lock(of_.mutex_);
      if (!of_.answers_[endpoint_].status.ok()) return of_.answers_[endpoint_].status;
      of_.held_[++of_.lease_] = key + "=" + value;
      of_.changed_.notify_all();
      return of_.lease_;
    }
    Status Renew(std::int64_t) override { return Unavailable("not here"); }
    Status Revoke(std::int64_t lease) override {
      const std::lock_guard lock(of_.mutex_);
      of_.held_.erase(lease);
      return OkStatus();
    }
    void Cancel() override {
      of_.Tell([this] { cancelled_ = true; });
    }

   private:
    Fake& of_;
    const std::string endpoint_;
    bool cancelled_ = false;
  };

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Answer> answers_;
  std::int64_t revision_ = 1;
  std::size_t lists_ = 0;
  std::int64_t lease_ = 0;
  std::map<std::int64_t, std::string> held_;
  std::size_t rings_ = 0;
  std::size_t breaks_ = 0;
  Status why_ = Unavailable("");
  std::string watched_at_;
  std::string denied_;
};

// What was told, one after the other.
class Heard {
 public:
  Resolver::Told told() {
    return [this](std::size_t number, const Result<std::vector<Place>>& found,
                  const std::string& left_out) {
      std::string words = std::to_string(number) + ":";
      if (!found.ok()) words += " " + found.status().message();
      if (found.ok())
        for (const Place& place : *found) words += " " + place.host;
      if (!left_out.empty()) words += " (" + left_out + ")";
      const std::lock_guard lock(mutex_);
      words_.push_back(words);
      said_.notify_all();
    };
  }
  std::string Next() {
    std::unique_lock lock(mutex_);
    said_.wait(lock, [this] { return !words_.empty(); });
    std::string words = words_.front();
    words_.pop_front();
    return words;
  }
  // Skips what is older.
  std::string Await(const std::string& words) {
    std::string next;
    while ((next = Next()) != words) continue;
    return next;
  }

 private:
  std::mutex mutex_;
  std::condition_variable said_;
  std::deque<std::string> words_;
};

struct Rig {
  explicit Rig(std::vector<std::string> endpoints = {"a:1"},
               std::vector<Name> names = {Of("etcd:/pay")})
      : resolver(std::move(endpoints), etcd.dial(), std::move(names), heard.told()) {}
  Fake etcd;
  Heard heard;
  Resolver resolver;
};

TEST(EtcdResolver, TellsWhatIsThereAndWhatBecomesOfIt) {
  Rig rig({"a:1"}, {Of("etcd:/pay"), Of("etcd:/ship")});
  rig.etcd.Set("a:1", {.values = {"10.0.0.1:1", "nonsense"}});
  rig.resolver.Start();
  EXPECT_EQ(rig.heard.Next(), "0: 10.0.0.1 (\"nonsense\" is left out: it is no HOST:PORT)");
  EXPECT_THAT(rig.heard.Next(), HasSubstr("1: 10.0.0.1"));
  rig.etcd.AwaitWatch();
  rig.etcd.Set("a:1", {.values = {"10.0.0.2:1"}});
  rig.etcd.Ring();
  EXPECT_THAT(rig.heard.Next(), AnyOf("0: 10.0.0.2", "1: 10.0.0.2"));
  EXPECT_THAT(rig.heard.Next(), AnyOf("0: 10.0.0.2", "1: 10.0.0.2"));
  rig.etcd.Set("a:1", {});
  rig.resolver.LookAgain(1);
  EXPECT_EQ(rig.heard.Next(), "1:");
}

// The revision to watch from was compacted away meanwhile.
TEST(EtcdResolver, WhatIsForgottenIsListedAnewWithoutTrouble) {
  Rig rig({"a:1", "b:1"});
  rig.etcd.Set("a:1", {.values = {"10.0.0.1:1"}});
  rig.etcd.Set("b:1", {.status = Unavailable("never asked")});
  rig.resolver.Start();
  EXPECT_EQ(rig.heard.Next(), "0: 10.0.0.1");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(rig.etcd.AwaitWatch(), "a:1");
    rig.etcd.Break(Status(Code::kOutOfRange, "what was before is forgotten"));
    EXPECT_EQ(rig.heard.Next(), "0: 10.0.0.1");
  }
}

TEST(EtcdResolver, TheNextOneIsAskedAndNobodyHearsOfIt) {
  Rig rig({"a:1", "b:1"});
  rig.etcd.Set("a:1", {.status = Unavailable("connection refused")});
  rig.etcd.Set("b:1", {.values = {"10.0.0.1:1"}});
  rig.resolver.Start();
  EXPECT_EQ(rig.heard.Next(), "0: 10.0.0.1");
  EXPECT_EQ(rig.etcd.AwaitWatch(), "b:1");
  rig.etcd.Set("a:1", {.values = {"10.0.0.2:1"}});
  rig.etcd.Break(Unavailable("the leader is gone"));
  // Both have failed, one after the other.
  EXPECT_EQ(rig.heard.Next(), "0: etcd at a:1: connection refused; at b:1: the leader is gone");
  EXPECT_EQ(rig.heard.Next(), "0: 10.0.0.2");
}

// One prefix that may not be read took the watch of all others away, again and again.
TEST(EtcdResolver, APrefixThatMayNotBeReadDisturbsNoOther) {
  Rig rig({"a:1"}, {Of("etcd:/ship"), Of("etcd:/pay")});
  rig.etcd.Set("a:1", {.values = {"10.0.0.1:1"}});
  rig.etcd.Deny("/ship/");
  rig.resolver.Start();
  EXPECT_EQ(rig.heard.Next(), "0: etcdserver: permission denied");
  EXPECT_EQ(rig.heard.Next(), "1: 10.0.0.1");
  rig.etcd.AwaitWatch();
  rig.etcd.Set("a:1", {.values = {"10.0.0.2:1"}});
  rig.etcd.Ring();
  EXPECT_EQ(rig.heard.Next(), "1: 10.0.0.2");
  rig.etcd.Deny("");
  rig.resolver.LookAgain(0);
  EXPECT_EQ(rig.heard.Next(), "0: 10.0.0.2");
}

TEST(EtcdResolver, ThatNobodyAnswersIsToldOnceForAll) {
  Rig rig({"a:1", "b:1"});
  rig.etcd.Set("a:1", {.status = Unavailable("it does not answer")});
  rig.etcd.Set("b:1", {.status = Unavailable("connection refused")});
  rig.resolver.Start();
  EXPECT_EQ(rig.heard.Next(), "0: etcd at a:1: it does not answer; at b:1: connection refused");
  EXPECT_EQ(rig.etcd.lists(), 2U) << "then there is a pause";
  rig.etcd.Set("a:1", {.values = {"10.0.0.1:1"}});
  EXPECT_EQ(rig.heard.Await("0: 10.0.0.1"), "0: 10.0.0.1");
}

TEST(EtcdResolver, EndsWhateverItIsDoing) {
  for (const bool there : {true, false}) {
    Rig rig;
    rig.etcd.Set("a:1", {.status = there ? OkStatus() : Unavailable("away")});
    rig.resolver.Start();
    rig.heard.Next();
    if (there) rig.etcd.AwaitWatch();
    rig.resolver.Stop();
    rig.resolver.LookAgain(0);
  }
}

TEST(EtcdRegistration, TheNextEndpointIsAskedAndItIsTakenBackAtTheEnd) {
  Fake etcd;
  etcd.Set("a:1", {.status = Unavailable("away")});
  std::vector<std::string> told;
  {
    Registration registration({"a:1", "b:1"}, etcd.dial(), "/c/me:1", "me:1",
                              [&](const Status& status) { told.push_back(status.message()); });
    registration.Start();
    EXPECT_EQ(etcd.AwaitHeld(), "/c/me:1=me:1");
    registration.Leave();
    registration.Stop();
    EXPECT_TRUE(etcd.HoldsNothing());
  }
  EXPECT_THAT(told, ElementsAre(""));
}

TEST(EtcdRegistration, ThatItCannotBeIsToldOnce) {
  Fake etcd;
  for (const char* endpoint : {"a:1", "b:1"})
    etcd.Set(endpoint, {.status = Unavailable("permission denied")});
  std::vector<std::string> told;
  std::mutex mutex;
  std::condition_variable said;
  Registration registration({"a:1", "b:1"}, etcd.dial(), "/c/me:1", "me:1",
                            [&](const Status& status) {
                              const std::lock_guard lock(mutex);
                              told.push_back(status.message());
                              said.notify_all();
                            });
  registration.Start();
  {
    std::unique_lock lock(mutex);
    said.wait(lock, [&] { return told.size() == 1; });
  }
  for (const char* endpoint : {"a:1", "b:1"}) etcd.Set(endpoint, {});
  EXPECT_EQ(etcd.AwaitHeld(), "/c/me:1=me:1");
  registration.Stop();
  EXPECT_THAT(told, ElementsAre("etcd at a:1: permission denied; at b:1: permission denied", ""));
}

}  // namespace
}  // namespace assent::discovery::etcd
