package assent.jdbc;

import assent.Call;
import assent.Kind;
import assent.Limits;
import assent.Operation;
import assent.Operation.Role;
import assent.Protocol;
import assent.Reply;
import assent.Verdict;
import java.nio.charset.StandardCharsets;
import java.util.EnumMap;
import java.util.Map;

/**
 * The barrier: what a branch has done, so that each operation happens once, a cancel may come before its try, and a
 * try that comes after its cancel is refused for good. Values in, values out.
 *
 * <p>The rules are those of participant-sdk/cpp/barrier/DESIGN.md, which has them as tables; a test holds both
 * together. An adapter keeps one row per branch, in the same local transaction as the business rows, and does this:
 *
 * <pre>
 * row     = what is kept of (gid, branchId), or NO_ROW
 * opening = open(call, row)
 * opening.move is RUN?   run the handler; keep what stateAfter() says; answer what it answered
 *                 BURY?  keep a TOMBSTONE; answer opening.reply
 *                 else   answer opening.reply
 * </pre>
 */
final class Barrier {
  /** The state of a branch. Stored by its place: never renumber. */
  enum Kept {
    /** No row. */
    NONE,
    /** The forward operation said no; nothing happened. */
    REFUSED,
    /** Tried, or acted: in force, and may be finished or undone. */
    DONE,
    /** Prepared without writing anything. */
    READ_ONLY,
    /** Changes are kept aside, to be applied or dropped. */
    PREPARED,
    /** Confirmed or committed. Final. */
    FINISHED,
    /** Cancelled, compensated or rolled back after its forward operation. Final. */
    UNDONE,
    /** Undone before its forward operation, which will be refused. Final. */
    TOMBSTONE
  }

  /** What to do about an operation, given the state of its branch. */
  enum Move {
    RUN,
    /** Answer as the forward operation was answered. */
    REPLAY,
    /** Finished or undone before: done again, with the same result. */
    REPEAT,
    /** Done: there is nothing to do. */
    NOTHING,
    /** Leave a tombstone, then done. */
    BURY,
    REFUSE
  }

  /** What to do about a kept row when the coordinator has said what became of its transaction. */
  enum Upkeep {
    KEEP,
    COMMIT,
    ROLL_BACK,
    /** A try that nobody will ever confirm or cancel: it stays, for a person. */
    ORPHAN,
    /** When it is old, the row goes. */
    FORGET
  }

  /**
   * What is kept of a branch.
   *
   * @param first the reply of the forward operation
   * @param secondResult of the finishing or undoing one
   */
  record BranchRow(Kept state, Protocol protocol, String action, Reply first, byte[] secondResult) {}

  /** {@code reply} is what to answer, unless it is to be run. */
  record Opening(Move move, Reply reply) {}

  static final BranchRow NO_ROW = new BranchRow(Kept.NONE, Protocol.SAGA, "", Reply.done(), new byte[0]);

  /** Asked forward, to finish, to undo. */
  private static final Map<Kept, Move[]> MOVES = new EnumMap<>(Map.of(
      Kept.NONE, moves(Move.RUN, Move.REFUSE, Move.BURY),
      Kept.REFUSED, moves(Move.REPLAY, Move.REFUSE, Move.NOTHING),
      Kept.DONE, moves(Move.REPLAY, Move.RUN, Move.RUN),
      Kept.READ_ONLY, moves(Move.REPLAY, Move.NOTHING, Move.NOTHING),
      Kept.PREPARED, moves(Move.REPLAY, Move.RUN, Move.RUN),
      Kept.FINISHED, moves(Move.REPLAY, Move.REPEAT, Move.REFUSE),
      Kept.UNDONE, moves(Move.REPLAY, Move.REFUSE, Move.REPEAT),
      Kept.TOMBSTONE, moves(Move.REFUSE, Move.REFUSE, Move.NOTHING)));

  private static final String COMMITTED_CLAIM = "HAZARD: a handler of this branch has committed its transaction by itself,"
      + " and what it wrote stays: look at it, then set the state of its row in assent_barrier (2 done, 5 confirmed, 6 undone),"
      + " or delete the row, if nothing was done";

  private static Move[] moves(Move... byRole) {
    return byRole;
  }

  static Move move(Kept state, Role role) {
    return MOVES.get(state)[role.ordinal()];
  }

  /** Why it is refused; null: it is not. HAZARD: atomicity may be lost. */
  static String refusal(Operation operation, Kept state) {
    return switch (operation) {
      case PREPARE -> state == Kept.TOMBSTONE ? "rolled back before it was prepared" : null;
      case TRY -> state == Kept.TOMBSTONE ? "cancelled before it was tried" : null;
      case ACTION -> state == Kept.TOMBSTONE ? "compensated before it was executed" : null;
      case COMMIT -> switch (state) {
        case NONE -> "HAZARD: not prepared here";
        case REFUSED -> "HAZARD: not prepared here: the prepare was refused";
        case UNDONE, TOMBSTONE -> "HAZARD: rolled back here";
        default -> null;
      };
      case CONFIRM -> switch (state) {
        case NONE -> "nothing tried";
        case REFUSED -> "nothing tried: the try was refused";
        case UNDONE, TOMBSTONE -> "already cancelled";
        default -> null;
      };
      case ROLLBACK -> state == Kept.FINISHED ? "already committed" : null;
      case CANCEL -> state == Kept.FINISHED ? "already confirmed" : null;
      case COMPENSATE -> null; // a Saga has no finishing operation
    };
  }

  static Opening open(Call call, BranchRow row) {
    if (call.operation().protocol() != call.protocol()) {
      return refuse("not an operation of a " + call.protocol().shortName() + " branch");
    }
    if (isOutside(call.gid(), Limits.MAX_GID_BYTES) || isOutside(call.branchId(), Limits.MAX_BRANCH_ID_BYTES)) {
      return refuse("gid or branch id is empty or too long");
    }
    boolean isOther = row.protocol() != call.protocol() || !row.action().equals(call.action());
    if (row.state() != Kept.NONE && isOther) {
      return refuse("HAZARD: this branch was seen as " + row.protocol().shortName() + " " + row.action() + ", not "
          + call.protocol().shortName() + " " + call.action());
    }
    Move move = move(row.state(), call.operation().role());
    return switch (move) {
      case REFUSE -> refuse(refusal(call.operation(), row.state()));
      case REPLAY -> new Opening(move, row.first());
      case REPEAT -> new Opening(move, Reply.done(row.secondResult()));
      case RUN, NOTHING, BURY -> new Opening(move, Reply.done());
    };
  }

  /**
   * A claim that was committed: nothing else commits one than a handler that has ended its transaction, and what it wrote
   * stays. It is not run again; a person has to look.
   */
  static Reply claimWasCommitted(Call call) {
    return call.operation().role() == Role.FORWARD ? Reply.retryLater(COMMITTED_CLAIM) : Reply.refused(COMMITTED_CLAIM);
  }

  private static boolean isOutside(String text, int limit) {
    return text.isEmpty() || text.getBytes(StandardCharsets.UTF_8).length > limit;
  }

  private static Opening refuse(String reason) {
    return new Opening(Move.REFUSE, Reply.refused(reason));
  }

  /**
   * The state in which an operation that ran leaves its branch; NONE: nothing of it is kept, and it will run again.
   *
   * <p>A refused forward operation is kept, since the coordinator may abort on it. One of the second phase is not:
   * there is no way but forward after a decision, and asking again may find it mended.
   */
  static Kept stateAfter(Call call, Reply reply, boolean wrote) {
    Role role = call.operation().role();
    if (reply.kind() == Kind.REFUSED) return role == Role.FORWARD ? Kept.REFUSED : Kept.NONE;
    if (!reply.isDone()) return Kept.NONE;
    if (role == Role.FINISH) return Kept.FINISHED;
    if (role == Role.UNDO) return Kept.UNDONE;
    if (call.operation() != Operation.PREPARE) return Kept.DONE;
    if (!wrote) return Kept.READ_ONLY;
    return call.onePhase() ? Kept.FINISHED : Kept.PREPARED;
  }

  static Upkeep upkeep(Kept state, Protocol protocol, Verdict verdict, boolean finished) {
    if (state == Kept.NONE || (verdict != Verdict.COMMIT && verdict != Verdict.ABORT)) return Upkeep.KEEP;
    if (state == Kept.PREPARED) return verdict == Verdict.COMMIT ? Upkeep.COMMIT : Upkeep.ROLL_BACK;
    if (!finished) return Upkeep.KEEP;
    return state == Kept.DONE && protocol == Protocol.TCC ? Upkeep.ORPHAN : Upkeep.FORGET;
  }

  private Barrier() {}
}
