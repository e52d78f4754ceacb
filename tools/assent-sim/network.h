#pragma once

// What lies between the coordinator and its participants. Two kinds of road:
//
//   connections   ordered streams, as gRPC gives them: frames arrive in order or not at all; a
//                 stream may break, and each side learns of it in its own time (half-open); a
//                 partition of one direction holds frames back
//   letters       unary calls: lost, duplicated, overtaken, delayed by hours
//
// The network moves messages and changes nothing in them, except that a lying participant's frames
// get forged replies put in before the true ones, and its unary answers are forged; and that words
// may come in place of one.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "assent/v1/participant.pb.h"
#include "coordinator/transport/transport.h"
#include "tools/assent-sim/sim.h"

namespace assent::sim {

struct Connection {
  std::uint32_t service = 0;
  std::uint64_t participant_life = 0;
  std::uint64_t dial = 0;     // the participant's own number for it
  std::uint32_t session = 0;  // of the participant's, one for each coordinator
  std::uint64_t coordinator_life = 0;
  bool reaches = false;  // there was a coordinator to take it
  bool cut = false;
  bool closed_at_coordinator = false;
  bool closed_at_participant = false;
  Time last_to_coordinator = 0;
  Time last_to_participant = 0;
  std::deque<std::unique_ptr<v1::ParticipantFrame>> to_coordinator;
  std::deque<std::unique_ptr<v1::CoordinatorFrame>> to_participant;
};

// One unary command on its way, or its answer.
struct Letter {
  std::uint32_t service = 0;
  std::uint64_t coordinator_life = 0;
  std::uint64_t call = 0;  // the coordinator's number for it
  transport::Command command;
  // On the way back: a reply, or a status in words.
  v1::BranchReply reply;
  std::string words;
};

class Network {
 public:
  Network(Sim& sim, std::uint32_t services) : sim_(sim), blocked_(services) {}

  // A participant dials. `coordinator_life` 0: nobody is there.
  std::uint64_t Dial(std::uint32_t service, std::uint64_t participant_life, std::uint64_t dial,
                     std::uint64_t coordinator_life, std::uint32_t session = 0);
  void FromParticipant(std::uint64_t connection, v1::ParticipantFrame frame);
  void FromCoordinator(std::uint64_t connection, std::unique_ptr<v1::CoordinatorFrame> frame);
  // The next frame that arrives; null if it was lost with its connection.
  std::unique_ptr<v1::ParticipantFrame> TakeAtCoordinator(std::uint64_t connection);
  std::unique_ptr<v1::CoordinatorFrame> TakeAtParticipant(std::uint64_t connection);

  void CloseByParticipant(std::uint64_t connection);
  void CloseByCoordinator(std::uint64_t connection);
  // Breaks it. Each side learns in its own time.
  void Cut(std::uint64_t connection);
  void CutOneOf(std::uint32_t service);
  void CoordinatorDied(std::uint64_t life, bool power);
  void ParticipantDied(std::uint32_t service, std::uint64_t life, bool power);
  // This participant does not reach that coordinator until then, and has no session with it.
  void Separate(std::uint32_t service, std::uint32_t coordinator, Time until);
  bool Reaches(std::uint32_t service, std::uint32_t coordinator) const {
    const auto found = separate_.find({service, coordinator});
    return found == separate_.end() || sim_.now >= found->second;
  }
  // No message passes in one direction until then.
  void Block(std::uint32_t service, bool to_participant, Time until);
  void Heal();

  // Returns how many copies are on their way.
  int SendCommand(Letter letter);
  void SendReply(Letter letter);
  Letter& letter(std::uint64_t number) { return letters_[number]; }
  std::uint64_t letters_under_way = 0;
  // The explorer decides when each letter arrives, and whether.
  void HoldLetters() { hold_ = true; }
  const std::vector<std::pair<std::uint64_t, EventKind>>& held() const { return held_; }
  void DeliverHeld(std::size_t i, bool keep_a_copy);
  void DropHeld(std::size_t i);

  Connection& connection(std::uint64_t number) { return connections_[number]; }

 private:
  Time Arrival(std::uint32_t service, bool to_participant, Time last);
  void Post(Letter letter, EventKind kind, Time wait);
  void Forge(v1::ParticipantFrame& frame);
  void Forge(v1::BranchReply& lie);

  Sim& sim_;
  std::deque<Connection> connections_;
  std::deque<Letter> letters_;
  struct Blocked {
    Time to_participant = 0;
    Time to_coordinator = 0;
  };
  std::vector<Blocked> blocked_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, Time> separate_;  // service, coordinator
  bool hold_ = false;
  std::vector<std::pair<std::uint64_t, EventKind>> held_;
};

}  // namespace assent::sim
