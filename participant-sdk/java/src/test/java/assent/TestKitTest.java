package assent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import assent.jdbc.JdbcBarrier;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sqlite.SQLiteDataSource;

/** The test kit names what is wrong with handlers that keep the contract by themselves, or do not. */
class TestKitTest {
  private static final Branch TAKE = Branch.tcc("shop", "take", "1").withHeader("who", "ann");

  /** A service whose book is a Map. {@code mistake}: the rule that it does not keep. */
  private static Service service(String mistake) {
    Map<String, String> book = new HashMap<>();
    Service service = new Service("shop");
    service.tcc("take").onTry(call -> {
      String state = book.get(call.gid());
      if ("undone".equals(state) && book.get(call.gid() + " first") == null && !mistake.equals("late forward")) {
        throw new Refused("too late");
      }
      if (state == null) book.put(call.gid(), "tried");
      boolean isNew = mistake.equals("other bytes") || book.get(call.gid() + " first") == null;
      if (isNew) book.put(call.gid() + " first", String.valueOf(System.nanoTime()));
      return Reply.done(book.get(call.gid() + " first"));
    }).onConfirm(call -> {
      String state = book.get(call.gid());
      boolean isAllowed = "tried".equals(state) || "confirmed".equals(state);
      if (!isAllowed && !mistake.equals("finish without forward")) throw new Refused("it is " + state);
      book.put(call.gid(), "confirmed");
    }).onCancel(call -> cancel(book, call, mistake));
    return service;
  }

  private static void cancel(Map<String, String> book, Call call, String mistake) {
    String state = book.get(call.gid());
    if (state == null && mistake.equals("empty undo")) throw new IllegalStateException("nothing to undo");
    if ("confirmed".equals(state) && !mistake.equals("both")) throw new Refused("already confirmed");
    book.put(call.gid(), "undone");
  }

  private static String checked(String mistake) {
    try (TestKit kit = new TestKit(service(mistake))) {
      return String.join("; ", kit.checkContract(TAKE));
    }
  }

  @Test
  void eachMistakeIsNamed() {
    assertEquals("", checked("none"));
    Map.of("other bytes", "TRY asked again was answered otherwise",
        "late forward", "undone before it came: TRY was answered DONE (no reason), not REFUSED",
        "empty undo", "undone before it came: CANCEL was answered RETRY_LATER (IllegalStateException: nothing to undo)",
        "finish without forward", "finished without its forward operation: CONFIRM was answered DONE",
        "both", "to the end: CANCEL was answered DONE")
        .forEach((mistake, words) -> assertTrue(checked(mistake).contains(words), mistake + ": " + checked(mistake)));
  }

  @Test
  void theAdapterKeepsIt(@TempDir Path folder) {
    SQLiteDataSource source = new SQLiteDataSource();
    source.setUrl("jdbc:sqlite:" + folder.resolve("shop.db"));
    JdbcBarrier db = new JdbcBarrier(source);
    db.tcc("take").onTry((tx, call) -> Reply.done(call.headers().get("who"))).onConfirm((tx, call) -> {})
        .onCancel((tx, call) -> {});
    db.saga("step").onAction((tx, call) -> Reply.done());
    try (TestKit kit = new TestKit(new Service("shop", db))) {
      assertEquals(List.of(), kit.checkContract(TAKE));
      assertEquals(List.of(), kit.checkContract(Branch.saga("shop", "step", "")));
      assertEquals("ann", kit.ask("g", TAKE, Operation.TRY).text());
      assertEquals(Kind.RETRY_LATER, kit.ask("g", Branch.saga("shop", "other", ""), Operation.ACTION).kind());
    }
  }
}
