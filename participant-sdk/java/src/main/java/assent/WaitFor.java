package assent;

/** How far a transaction has to be before a call answers. */
public enum WaitFor {
  ACCEPTED(1),
  DECIDED(2),
  COMPLETED(3);

  final int number;

  WaitFor(int number) {
    this.number = number;
  }
}
