package assent;

/** In which order branches start when their own {@code after} says nothing. In the order of the wire. */
public enum Ordering {
  /** Saga steps follow one another, other branches start at once. */
  DEFAULT,
  SEQUENTIAL,
  /** Only {@code after} counts. */
  DECLARED
}
