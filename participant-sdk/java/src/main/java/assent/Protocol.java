package assent;

/** How one branch is driven. Its numbers are those of the wire, and are stored: they never change. */
public enum Protocol {
  /** PREPARE, then COMMIT or ROLLBACK. */
  TWO_PHASE(1, "2pc"),
  /** TRY, then CONFIRM or CANCEL. */
  TCC(2, "tcc"),
  /** ACTION; COMPENSATE if the transaction aborts. */
  SAGA(3, "saga");

  private final int number;
  private final String shortName;

  Protocol(int number, String shortName) {
    this.number = number;
    this.shortName = shortName;
  }

  public int number() {
    return number;
  }

  /** For names and sentences: "2pc", "tcc", "saga". */
  public String shortName() {
    return shortName;
  }

  /** Null: none that is known here. */
  public static Protocol of(int number) {
    return number >= 1 && number <= values().length ? values()[number - 1] : null;
  }
}
