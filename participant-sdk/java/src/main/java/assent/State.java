package assent;

/** Where a transaction stands. In the order of the wire. */
public enum State {
  /** Of a newer coordinator. */
  UNKNOWN,
  ACTIVE,
  COMMITTING,
  ABORTING,
  FINISHED
}
