package assent;

/** What became of a transaction. In the order of the wire. */
public enum Outcome {
  UNDECIDED,
  COMMITTED,
  ABORTED,
  /** A person resolved branches against the decision. */
  MIXED,
  /** It is not known what happened in some branch. */
  HAZARD
}
