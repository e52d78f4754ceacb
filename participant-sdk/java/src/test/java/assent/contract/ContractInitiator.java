package assent.contract;

import assent.AssentException;
import assent.Branch;
import assent.Client;
import assent.OpenTransaction;
import assent.Report;
import assent.Retry;
import assent.Transaction;
import com.google.gson.Gson;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/** The client that assent-contract examines (docs/contract.md). */
public final class ContractInitiator {
  private static Report run(Client client, String kind, String gid) {
    Transaction order = new Transaction(gid).deadline(Duration.ofSeconds(20));
    Branch branch = Branch.saga("contract", "add", new Gson().toJson(Map.of("account", gid, "amount", 1)));
    if (kind.equals("submit")) return client.submitAsync(order.add(branch)).join();
    OpenTransaction open = client.begin(order);
    open.execute(branch.withId("1"));
    return open.commit();
  }

  private static String concluded(Throwable failure) {
    if (failure instanceof AssentException.Aborted) return "aborted";
    if (failure instanceof AssentException.Unavailable) return "not-begun";
    boolean isFinal = failure instanceof AssentException.InvalidArgument
        || failure instanceof AssentException.AlreadyExists || failure instanceof AssentException.FailedPrecondition
        || failure instanceof AssentException.DataLoss;
    return isFinal ? "failed" : "unknown";
  }

  private static void conclude(Client client, String kind, String gid) {
    Map<String, String> line = new LinkedHashMap<>(Map.of("gid", gid));
    try {
      Report report = run(client, kind, gid);
      line.put("conclusion", report.committed() ? "committed" : report.aborted() ? "aborted" : "unknown");
      line.put("detail", report.abortReason());
    } catch (RuntimeException failed) {
      Throwable why = failed instanceof AssentException ? failed : failed.getCause();
      line.put("conclusion", concluded(why));
      line.put("detail", String.valueOf(why));
    }
    System.out.println(new Gson().toJson(line));
  }

  public static void main(String[] arguments) throws InterruptedException {
    String kind = System.getenv("ASSENT_CONTRACT_CALL");
    if (!kind.equals("submit") && !kind.equals("interactive")) System.exit(77);
    Duration patience = Duration.ofMillis(Long.parseLong(System.getenv("ASSENT_CONTRACT_GIVE_UP_MS")));
    Client.Builder options = Client.builder().retry(Retry.DEFAULT.withGiveUpAfter(patience))
        .timeout(patience.plusSeconds(5));
    try (Client client = options.build()) {
      ExecutorService all = Executors.newCachedThreadPool();
      for (String gid : System.getenv("ASSENT_CONTRACT_GIDS").split(",")) {
        all.execute(() -> conclude(client, kind, gid));
      }
      all.shutdown();
      all.awaitTermination(10, TimeUnit.MINUTES);
    }
  }

  private ContractInitiator() {}
}
