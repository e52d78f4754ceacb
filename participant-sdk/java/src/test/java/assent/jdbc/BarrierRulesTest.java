package assent.jdbc;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import assent.Call;
import assent.Operation;
import assent.Operation.Role;
import assent.Protocol;
import assent.Reply;
import assent.Rig;
import assent.Trace;
import assent.Verdict;
import assent.jdbc.Barrier.BranchRow;
import assent.jdbc.Barrier.Kept;
import assent.jdbc.Barrier.Move;
import assent.jdbc.Barrier.Upkeep;
import java.nio.file.Files;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The rules are those of the page that all barriers share. */
class BarrierRulesTest {
  /** The rows of the table whose head begins so. */
  private static List<List<String>> table(String head) throws Exception {
    List<List<String>> rows = new ArrayList<>();
    boolean isInside = false;
    for (String line : Files.readAllLines(Rig.ROOT.resolve("participant-sdk/cpp/barrier/DESIGN.md"))) {
      if (line.startsWith("| " + head + " |")) isInside = true;
      else if (isInside && !line.startsWith("|")) break;
      else if (isInside && !line.startsWith("|--")) rows.add(cells(line));
    }
    assertTrue(rows.size() > 5, head);
    return rows;
  }

  private static List<String> cells(String line) {
    String[] all = line.split("\\|");
    return List.of(all).subList(1, all.length).stream().map(cell -> cell.strip().replace("*", "")).toList();
  }

  private static Kept kept(String name) {
    return name.equals("no row") || name.equals("nothing") ? Kept.NONE : Kept.valueOf(name);
  }

  private static Call call(Operation operation, boolean onePhase) {
    return new Call("g", "1", operation, operation.protocol(), "", "a", new byte[0], Map.of(), Map.of(), 1, onePhase,
        Duration.ZERO, 1, 1, Instant.EPOCH, Trace.NONE);
  }

  @Test
  void theMovesAreThoseOfThePage() throws Exception {
    for (List<String> row : table("asked in state")) {
      for (Role role : Role.values()) {
        Move wanted = Move.valueOf(row.get(1 + role.ordinal()).toUpperCase(Locale.ROOT));
        assertEquals(wanted, Barrier.move(kept(row.get(0)), role), row.toString());
      }
    }
  }

  @Test
  void theReasonsAreThoseOfThePageAndNoOthers() throws Exception {
    List<List<String>> rows = table("asked");
    for (List<String> row : rows) {
      Operation operation = Operation.valueOf(row.get(0));
      BranchRow found = new BranchRow(kept(row.get(1)), operation.protocol(), "a", Reply.done(), new byte[0]);
      Barrier.Opening opening = Barrier.open(call(operation, false), found);
      assertEquals(Move.REFUSE, opening.move(), row.toString());
      assertEquals(row.get(2), opening.reply().reason());
    }
    long all = 0;
    for (Operation operation : Operation.values()) {
      for (Kept state : Kept.values()) {
        if (Barrier.refusal(operation, state) != null) all++;
      }
    }
    assertEquals(rows.size(), all);
  }

  @Test
  void whatIsKeptIsWhatThePageSays() throws Exception {
    List<Reply> replies = List.of(Reply.done(), Reply.refused("no"), Reply.retryLater("later"));
    for (List<String> row : table("ran")) {
      String ran = row.get(0);
      Call one = call(Operation.valueOf(ran.split("[ ,]")[0]), ran.contains("one phase"));
      for (int at = 0; at < replies.size(); at++) {
        Kept state = Barrier.stateAfter(one, replies.get(at), !ran.contains("nothing written"));
        assertEquals(kept(row.get(at + 1)), state, ran);
      }
    }
  }

  @Test
  void theUpkeepIsWhatThePageSays() throws Exception {
    for (List<String> row : table("row")) {
      Kept state = Kept.valueOf(row.get(0).split(" ")[0]);
      Protocol protocol = row.get(0).equals("DONE of a step") ? Protocol.SAGA : Protocol.TCC;
      List<Upkeep> seen = new ArrayList<>();
      for (boolean finished : List.of(false, true)) {
        for (Verdict verdict : List.of(Verdict.COMMIT, Verdict.ABORT)) {
          seen.add(Barrier.upkeep(state, protocol, verdict, finished));
        }
      }
      List<Upkeep> wanted = row.subList(1, 5).stream()
          .map(cell -> Upkeep.valueOf(cell.toUpperCase(Locale.ROOT).replace(' ', '_'))).toList();
      assertEquals(wanted, seen, row.toString());
      assertEquals(Upkeep.KEEP, Barrier.upkeep(state, protocol, Verdict.UNDECIDED, true));
      assertEquals(Upkeep.KEEP, Barrier.upkeep(state, protocol, Verdict.CANNOT_TELL, true));
    }
  }

  @Test
  void aBranchStaysWhatItWas() {
    BranchRow other = new BranchRow(Kept.DONE, Protocol.TCC, "b", Reply.done(), new byte[0]);
    assertEquals("HAZARD: this branch was seen as tcc b, not tcc a",
        Barrier.open(call(Operation.CONFIRM, false), other).reply().reason());
    Call wrong = Call.of("g", "b".repeat(65), Operation.TRY, "a", new byte[0]);
    assertEquals(Move.REFUSE, Barrier.open(wrong, Barrier.NO_ROW).move());
  }
}
