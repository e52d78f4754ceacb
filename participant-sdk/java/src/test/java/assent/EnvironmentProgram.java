package assent;

import java.time.Duration;

/** A participant and an initiator that are told by their environment alone whom to dial, and how. */
final class EnvironmentProgram {
  public static void main(String[] arguments) throws InterruptedException {
    Service service = new Service("shop");
    service.saga("ship").onAction(call -> Reply.done("shipped"));
    try (var participant = new Participant(service).start(); var client = new Client()) {
      participant.awaitConnected(Duration.ofSeconds(60));
      System.out.println("said: " + client.submit(new Transaction().saga("shop", "ship", "")).text("1"));
    }
  }

  private EnvironmentProgram() {}
}
