package assent;

/** What the coordinator says about a branch that is held. */
public enum Verdict {
  UNDECIDED,
  COMMIT,
  ABORT,
  CANNOT_TELL
}
