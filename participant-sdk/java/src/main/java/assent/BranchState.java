package assent;

/** Where a branch stands. In the order of the wire. */
public enum BranchState {
  /** Of a newer coordinator. */
  UNKNOWN,
  WAITING,
  EXECUTING,
  EXECUTED,
  READ_ONLY,
  REFUSED,
  FINISHING,
  DONE,
  UNDOING,
  UNDONE,
  SKIPPED
}
