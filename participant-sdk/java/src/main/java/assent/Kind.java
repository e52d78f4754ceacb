package assent;

/** What a reply says. Its numbers are those of the wire, and are stored. */
public enum Kind {
  /** Nobody can say whether it has happened: asked again. */
  UNKNOWN,
  /** It has happened, durably. */
  DONE,
  /** PREPARE only: yes, and nothing was written. */
  DONE_READ_ONLY,
  /** A business no. */
  REFUSED,
  /** Not now, nothing happened. */
  RETRY_LATER;

  public int number() {
    return ordinal();
  }

  /** Null: none that is known here. */
  public static Kind of(int number) {
    return number >= 0 && number < values().length ? values()[number] : null;
  }
}
