#include "tests/contract/samples/raw_session.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>

namespace assent::contract::samples {
namespace {

constexpr std::size_t kThreadCount = 4;
constexpr std::uint32_t kMaxInFlight = 300;
constexpr std::chrono::milliseconds kBackoff{20};

std::shared_ptr<grpc::Channel> ChannelTo(const std::string& endpoint) {
  grpc::ChannelArguments arguments;
  for (const char* name : {GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,
                           GRPC_ARG_MAX_RECONNECT_BACKOFF_MS})
    arguments.SetInt(name, static_cast<int>(kBackoff.count()));
  return grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

RawSession::RawSession(LedgerParticipant& ledger, std::string endpoint)
    : ledger_(ledger), endpoint_(std::move(endpoint)) {
  for (std::size_t i = 0; i < kThreadCount; ++i) workers_.emplace_back([this] { Work(); });
}

RawSession::~RawSession() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = ended_ = true;
  }
  changed_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void RawSession::Run() {
  {
    const std::scoped_lock lock(mutex_);
    dialled_.insert(endpoint_);
  }
  DialForEver(endpoint_);
  // Nobody adds to them once it is stopping.
  for (std::vector<std::thread>* const threads : {&dialers_, &watchers_})
    for (std::thread& thread : *threads) thread.join();
}

void RawSession::DialForEver(const std::string& endpoint) {
  while (Converse(endpoint)) {
    std::unique_lock lock(mutex_);
    if (ledger_.Makes("never-reconnects")) changed_.wait(lock, [this] { return stopping_; });
    if (changed_.wait_for(lock, kBackoff, [this] { return stopping_; })) return;
  }
}

bool RawSession::Converse(const std::string& endpoint) {
  const auto stub = v1::ParticipantSession::NewStub(ChannelTo(endpoint));
  const auto link = std::make_shared<Link>();
  link->endpoint = endpoint;
  // gRPC gets on with connecting only while a call waits for it.
  link->context.set_wait_for_ready(true);
  link->stream = stub->Connect(&link->context);
  {
    const std::scoped_lock lock(mutex_);
    if (stopping_) {
      link->context.TryCancel();
    } else {
      links_.insert(link);
    }
  }
  Write(*link, Hello());
  v1::CoordinatorFrame frame;
  while (link->stream->Read(&frame)) Take(link, frame);
  {
    const std::scoped_lock lock(mutex_);
    links_.erase(link);
  }
  const std::scoped_lock lock(link->mutex);
  link->open = false;
  // A frame that cannot be read ends the reading, and not the stream.
  link->context.TryCancel();
  const grpc::Status status = link->stream->Finish();
  if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED &&
      ledger_.Makes("dies-of-a-large-frame"))
    std::_Exit(1);
  const std::scoped_lock all(mutex_);
  return !stopping_;
}

void RawSession::Watch(const std::string& endpoint) {
  const auto stub = v1::ClusterService::NewStub(ChannelTo(endpoint));
  grpc::ClientContext context;
  {
    const std::scoped_lock lock(mutex_);
    if (stopping_) return;
    watched_[endpoint] = &context;
  }
  const auto stream = stub->Watch(&context, v1::WatchClusterRequest());
  v1::ClusterView view;
  while (stream->Read(&view)) DialOthers(view);
  (void)stream->Finish();
  const std::scoped_lock lock(mutex_);
  watched_.erase(endpoint);
}

void RawSession::DialOthers(const v1::ClusterView& view) {
  const std::scoped_lock lock(mutex_);
  if (stopping_) return;
  for (const v1::ClusterMember& member : view.members()) {
    if (!dialled_.insert(member.address()).second) continue;
    dialers_.emplace_back([this, address = member.address()] { DialForEver(address); });
  }
}

v1::ParticipantFrame RawSession::Hello() const {
  v1::ParticipantFrame frame;
  v1::Hello& hello = *frame.mutable_hello();
  hello.set_version(1);
  hello.set_service("contract");
  hello.set_instance("raw");
  hello.set_agent("assent-contract-raw/1");
  hello.set_max_in_flight(kMaxInFlight);
  const auto offer = [&](const char* name, v1::Protocol protocol) {
    v1::ActionInfo* const action = hello.add_actions();
    action->set_name(name);
    action->set_protocol(protocol);
  };
  for (const v1::Protocol protocol : {v1::TWO_PHASE, v1::TCC, v1::SAGA}) offer("add", protocol);
  for (const char* name : {"read", "echo", "bytes"}) offer(name, v1::SAGA);
  return frame;
}

void RawSession::Write(Link& link, const v1::ParticipantFrame& frame) {
  const std::scoped_lock lock(link.mutex);
  if (link.open) link.stream->Write(frame);  // one that is lost is asked for again
}

bool RawSession::IsStale(const v1::BranchCommand& command) {
  if (command.slot_epoch() == 0 || ledger_.Makes("hears-former-owners")) return false;
  std::uint64_t& highest = slots_[{command.coordinator_id(), command.slot()}];
  if (command.slot_epoch() < highest) return true;
  highest = command.slot_epoch();
  return false;
}

void RawSession::Take(const std::shared_ptr<Link>& link, const v1::CoordinatorFrame& frame) {
  v1::ParticipantFrame questions;
  if (frame.has_welcome()) link->welcomed = true;
  if (frame.welcome().cluster_version() != 0 && !ledger_.Makes("knows-one-coordinator")) {
    const std::scoped_lock lock(mutex_);
    if (!stopping_ && watched_.emplace(link->endpoint, nullptr).second)
      watchers_.emplace_back([this, endpoint = link->endpoint] { Watch(endpoint); });
  }
  if (frame.has_welcome() && !ledger_.Makes("asks-nothing")) {
    for (const Prepared& prepared : ledger_.Questions()) {
      v1::OutcomeQuery* const query = questions.add_queries();
      query->set_gid(prepared.gid);
      query->set_branch_id(prepared.branch_id);
      query->set_coordinator_id(prepared.coordinator_id);
      query->set_began_epoch(prepared.began_epoch);
    }
  }
  if (questions.queries_size() > 0) Write(*link, questions);
  for (const v1::OutcomeAnswer& answer : frame.answers()) ledger_.Answer(answer);
  {
    const std::scoped_lock lock(mutex_);
    for (const v1::BranchCommand& command : frame.commands()) {
      if (IsStale(command)) continue;
      if (ledger_.Makes("drops-when-busy") && queue_.size() >= kMaxInFlight / 4) continue;
      queue_.emplace_back(link, command);
    }
  }
  changed_.notify_all();
}

void RawSession::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ended_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const auto [link, command] = std::move(queue_.front());
    queue_.pop_front();
    ++running_;
    lock.unlock();
    try {
      v1::ParticipantFrame frame;
      v1::BranchReply& reply = *frame.add_replies();
      reply = ledger_.Execute(command);
      if (ledger_.Makes("echoes-no-branch")) reply.clear_branch_id();
      Write(*link, frame);
    } catch (const std::exception&) {
      // Nothing may be said: it is asked again.
    }
    lock.lock();
    --running_;
    changed_.notify_all();
  }
}

void RawSession::Stop() {
  if (ledger_.Makes("leaves-at-once")) std::_Exit(0);
  std::unique_lock lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
  const std::set<std::shared_ptr<Link>> links = links_;
  for (const auto& [endpoint, context] : watched_)
    if (context != nullptr) context->TryCancel();
  lock.unlock();
  v1::ParticipantFrame goodbye;
  goodbye.set_goodbye(true);
  for (const std::shared_ptr<Link>& link : links) {
    if (!link->welcomed) link->context.TryCancel();
    if (link->welcomed) Write(*link, goodbye);
  }
  lock.lock();
  changed_.wait(lock, [this] { return running_ == 0 && queue_.empty(); });
  lock.unlock();
  for (const std::shared_ptr<Link>& link : links) {
    const std::scoped_lock writing(link->mutex);
    if (link->welcomed && link->open) link->stream->WritesDone();
  }
}

}  // namespace assent::contract::samples
