#include "tools/assentctl/commands.h"
#include "tools/assentctl/json_out.h"

namespace assent::ctl {
namespace {

struct Runner {
  Session& session;

  Exit operator()(const ListCommand& command) const { return RunList(command, session); }
  Exit operator()(const ShowCommand& command) const { return RunShow(command, session); }
  Exit operator()(const WatchCommand& command) const { return RunWatch(command, session); }
  Exit operator()(const WaitCommand& command) const { return RunWait(command, session); }
  Exit operator()(const SubmitCommand& command) const { return RunSubmit(command, session); }
  Exit operator()(const OperateCommand& command) const { return RunOperate(command, session); }
  Exit operator()(const ResolveCommand& command) const { return RunResolve(command, session); }
  Exit operator()(const EventsCommand& command) const { return RunEvents(command, session); }
  Exit operator()(const AuditCommand& command) const { return RunAudit(command, session); }
  Exit operator()(const AuditExportCommand& command) const {
    return RunAuditExport(command, session);
  }
  Exit operator()(const AuditVerifyCommand& command) const {
    return RunAuditVerify(command, session);
  }
  Exit operator()(const ParticipantsCommand& command) const {
    return RunParticipants(command, session);
  }
  Exit operator()(const StatsCommand&) const { return RunStats(session); }
  Exit operator()(const HealthCommand&) const { return RunHealth(session); }
  Exit operator()(const CompleteCommand& command) const { return RunComplete(command, session); }
  Exit operator()(const ClusterStatusCommand& command) const {
    return RunClusterStatus(command, session);
  }
  Exit operator()(const LocateCommand& command) const { return RunLocate(command, session); }
  Exit operator()(const BreakerCommand& command) const { return RunBreaker(command, session); }
  Exit operator()(const DrainCommand& command) const { return RunDrain(command, session); }
  Exit operator()(const MoveCommand& command) const { return RunMove(command, session); }
  Exit operator()(const UnpinCommand& command) const { return RunUnpin(command, session); }
  Exit operator()(const FenceCommand& command) const { return RunFence(command, session); }
  Exit operator()(const RestoredCommand& command) const { return RunRestored(command, session); }
  Exit operator()(const MigrateCommand& command) const { return RunMigrate(command, session); }
  Exit operator()(const BackupCommand& command) const { return RunBackup(command, session); }
  Exit operator()(const ConfigShowCommand& command) const {
    return RunConfigShow(command, session);
  }
  Exit operator()(const DebugBundleCommand& command) const {
    return RunDebugBundle(command, session);
  }
  Exit operator()(const RestoreCommand& command) const { return RunRestore(command, session); }
  Exit operator()(const DoctorCommand& command) const { return RunDoctor(command, session); }
  Exit operator()(const KeysCommand& command) const { return RunKeys(command, session); }
  Exit operator()(const AuthTokenCommand& command) const { return RunAuthToken(command, session); }
  Exit operator()(const AuthExplainCommand& command) const {
    return RunAuthExplain(command, session);
  }
  Exit operator()(const CertsCommand& command) const { return RunCerts(command, session); }
  Exit operator()(const TopCommand& command) const { return RunTop(command, session); }
  Exit operator()(const VersionCommand&) const {
    const Json json{{"version", ASSENT_VERSION}};
    switch (session.options.output) {
      case Output::kJson: return Say(PrettyJson(json));
      case Output::kJsonl: return Say(LineJson(json));
      case Output::kYaml: return Say(Yaml(json));
      case Output::kTable:
      case Output::kWide:
      case Output::kId: break;
    }
    return Say(VersionText());
  }
  Exit operator()(const CompletionCommand& command) const {
    return Say(CompletionScript(command.shell));
  }
  Exit operator()(const ManCommand&) const { return Say(ManualPage()); }
  Exit Say(const std::string& text) const {
    session.console.Out(text);
    return Exit::kDone;
  }
};

}  // namespace

std::string VersionText() { return "assentctl " ASSENT_VERSION "\n"; }

Exit Run(const Command& command, Session& session) { return std::visit(Runner{session}, command); }

}  // namespace assent::ctl
