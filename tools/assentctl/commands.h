#pragma once

// Each command, carried out. Results go to the console's stdout, everything else to its stderr; the
// exit code is the answer to a script.

#include "tools/assentctl/command.h"
#include "tools/assentctl/session.h"

namespace assent::ctl {

Exit RunList(const ListCommand& command, Session& session);
Exit RunShow(const ShowCommand& command, Session& session);
// Follows to the end; 0 when it got there, whatever the outcome.
Exit RunWatch(const WatchCommand& command, Session& session);
// 0 committed, 10 aborted, 11 --timeout passed, 12 needs a human (or ended MIXED or HAZARD).
Exit RunWait(const WaitCommand& command, Session& session);
Exit RunSubmit(const SubmitCommand& command, Session& session);
Exit RunOperate(const OperateCommand& command, Session& session);
Exit RunResolve(const ResolveCommand& command, Session& session);
Exit RunResolveAll(const ResolveCommand& command, Session& session);
// What is kept; --follow: and on as it happens, through whatever becomes of the connection.
Exit RunEvents(const EventsCommand& command, Session& session);
Exit RunAudit(const AuditCommand& command, Session& session);
Exit RunAuditExport(const AuditExportCommand& command, Session& session);
// 1: something of it was changed, or is missing. With files no coordinator is needed.
Exit RunAuditVerify(const AuditVerifyCommand& command, Session& session);
Exit RunParticipants(const ParticipantsCommand& command, Session& session);
Exit RunStats(Session& session);
// 0 when new transactions are taken, 1 when they are refused, 3 when nobody answers.
Exit RunHealth(Session& session);
// On a page of its own, until a key is pressed.
Exit RunTop(const TopCommand& command, Session& session);
Exit RunClusterStatus(const ClusterStatusCommand& command, Session& session);
// 0 and who has it; 1 when nobody has at this moment.
Exit RunLocate(const LocateCommand& command, Session& session);
// 4: there is no such service or instance; 7: a coordinator did not answer.
Exit RunBreaker(const BreakerCommand& command, Session& session);
// 4: no member is called so. --wait: 0 when it has no slots any more, 11 --timeout passed.
Exit RunDrain(const DrainCommand& command, Session& session);
Exit RunMove(const MoveCommand& command, Session& session);
Exit RunUnpin(const UnpinCommand& command, Session& session);
Exit RunFence(const FenceCommand& command, Session& session);
// These need no coordinator, and that none runs.
Exit RunRestored(const RestoredCommand& command, Session& session);
Exit RunMigrate(const MigrateCommand& command, Session& session);
Exit RunBackup(const BackupCommand& command, Session& session);
Exit RunConfigShow(const ConfigShowCommand& command, Session& session);
// 7: some of it could not be had.
Exit RunDebugBundle(const DebugBundleCommand& command, Session& session);
// These need no coordinator, and that none runs. 12: a person has something to look at; 1: damaged.
Exit RunRestore(const RestoreCommand& command, Session& session);
Exit RunDoctor(const DoctorCommand& command, Session& session);
Exit RunAuthToken(const AuthTokenCommand& command, Session& session);
// 6: they do not.
Exit RunAuthExplain(const AuthExplainCommand& command, Session& session);
// Needs no coordinator. 5: the folder has something in it.
Exit RunCerts(const CertsCommand& command, Session& session);
// Needs no coordinator.
Exit RunKeys(const KeysCommand& command, Session& session);
// Without hints, which are about transactions.
Exit FailOffline(const Status& status, Session& session);
// Best effort: a coordinator that does not answer at once offers no gids.
Exit RunComplete(const CompleteCommand& command, Session& session);

// The server needs no part in these.
std::string VersionText();
std::string CompletionScript(Shell shell);
std::string ManualPage();

// Dispatches.
Exit Run(const Command& command, Session& session);

}  // namespace assent::ctl
