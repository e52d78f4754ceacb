package assent;

import java.time.Duration;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;

/** A call that somebody waits for, and the one answer to it. May be used from any thread. */
public final class Job {
  private final Call call;
  private final Consumer<Reply> respond;
  private final BooleanSupplier isWanted;
  private final AtomicBoolean answered = new AtomicBoolean();

  public Job(Call call, Consumer<Reply> respond, BooleanSupplier isWanted) {
    this.call = call;
    this.respond = respond;
    this.isWanted = isWanted;
  }

  public Call call() {
    return call;
  }

  /**
   * To be asked before it is carried out. False: nobody waits for it any more, and it is answered. Late is as bad as
   * never: what is done should be what somebody wants.
   */
  public boolean begin() {
    if (isWanted.getAsBoolean()) return true;
    answer(Reply.retryLater("it waited here for longer than its coordinator waits", Duration.ZERO));
    return false;
  }

  /** The first one counts. */
  public void answer(Reply reply) {
    if (answered.compareAndSet(false, true)) respond.accept(reply);
  }
}
