#include "tools/assentctl/complete.h"

#include "tools/assentctl/commands.h"
#include "tools/assentctl/words.h"

namespace assent::ctl {
namespace {

// Somebody waits with a finger on the Tab key.
constexpr std::chrono::milliseconds kPatience{700};
constexpr std::uint32_t kMostGidsCount = 100;

std::vector<Candidate> Gids(Service& service, const std::string& prefix) {
  v1::ListRequest request;
  request.set_all(true);
  request.set_gid_prefix(prefix);
  request.set_page_size(kMostGidsCount);
  std::vector<Candidate> found;
  const Result<v1::ListReply> page = service.List(request, kPatience);
  if (!page.ok()) return found;
  for (const v1::Transaction& transaction : page.value().transactions()) {
    const bool finished = transaction.state() == v1::FINISHED;
    found.push_back(
        {transaction.gid(), finished ? Word(transaction.outcome()) : Word(transaction.state())});
  }
  return found;
}

std::vector<Candidate> Services(Service& service, const std::string& prefix) {
  v1::ListParticipantsRequest request;
  request.set_service_prefix(prefix);
  std::vector<Candidate> found;
  const Result<v1::ListParticipantsReply> reply = service.ListParticipants(request, kPatience);
  if (!reply.ok()) return found;
  for (const v1::ParticipantInfo& participant : reply.value().participants()) {
    found.push_back({participant.service(), ""});
  }
  return found;
}

std::vector<Candidate> Nodes(Service& service) {
  std::vector<Candidate> found;
  const Result<v1::ClusterView> view = service.GetCluster({}, kPatience);
  if (!view.ok()) return found;
  for (const v1::ClusterMember& member : view->members()) {
    found.push_back({member.node(), member.address()});
  }
  return found;
}

std::vector<Candidate> Causes(Service& service) {
  std::vector<Candidate> found;
  const Result<v1::ListCausesReply> causes = service.ListCauses({}, kPatience);
  if (!causes.ok()) return found;
  for (const v1::Cause& cause : causes->causes())
    found.push_back({cause.key(), std::to_string(cause.count()) + " " + cause.sentence()});
  return found;
}

std::vector<Candidate> Branches(Service& service, const std::string& gid) {
  v1::GetRequest request;
  request.set_gid(gid);
  std::vector<Candidate> found;
  const Result<v1::Transaction> transaction = service.Get(request, kPatience);
  if (!transaction.ok()) return found;
  for (const v1::Branch& branch : transaction.value().branches()) {
    found.push_back(
        {branch.spec().branch_id(),
         branch.spec().service() + "/" + branch.spec().action() + " " + Word(branch.state())});
  }
  return found;
}

}  // namespace

Exit RunComplete(const CompleteCommand& command, Session& session) {
  const Lookup lookup = [&session](const std::string& kind, const std::string& prefix,
                                   const std::string& gid) {
    if (kind == "GID") return Gids(session.service, prefix);
    if (kind == "SERVICE") return Services(session.service, prefix);
    if (kind == "NODE") return Nodes(session.service);
    if (kind == "CAUSE") return Causes(session.service);
    return Branches(session.service, gid);
  };
  session.console.Out(RenderCandidates(Complete(command.words, lookup)));
  return Exit::kDone;
}

}  // namespace assent::ctl
