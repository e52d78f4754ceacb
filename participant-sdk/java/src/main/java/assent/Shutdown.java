package assent;

/** What is closed in order when the process is told to end. */
final class Shutdown {
  /** Closes it at the process's end, or returns when it was closed before that. */
  static void closeAtEnd(AutoCloseable what, Runnable awaitClosed) {
    Thread hook = new Thread(() -> {
      try {
        what.close();
      } catch (Exception failed) {
        System.getLogger("assent").log(System.Logger.Level.WARNING, "not closed in order", failed);
      }
    }, "assent-shutdown");
    Runtime.getRuntime().addShutdownHook(hook);
    awaitClosed.run();
    try {
      Runtime.getRuntime().removeShutdownHook(hook);
    } catch (IllegalStateException ending) {
      // It is the hook that has closed it.
    }
  }

  private Shutdown() {}
}
