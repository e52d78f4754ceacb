package assent;

import static assent.Protocol.SAGA;
import static assent.Protocol.TCC;
import static assent.Protocol.TWO_PHASE;

/** What a branch is asked to do. Its numbers are those of the wire. */
public enum Operation {
  PREPARE(1, TWO_PHASE, Role.FORWARD),
  COMMIT(2, TWO_PHASE, Role.FINISH),
  ROLLBACK(3, TWO_PHASE, Role.UNDO),
  TRY(4, TCC, Role.FORWARD),
  CONFIRM(5, TCC, Role.FINISH),
  CANCEL(6, TCC, Role.UNDO),
  ACTION(7, SAGA, Role.FORWARD),
  COMPENSATE(8, SAGA, Role.UNDO);

  /** What the three protocols have in common. */
  public enum Role {
    FORWARD,
    FINISH,
    UNDO
  }

  private final int number;
  private final Protocol protocol;
  private final Role role;

  Operation(int number, Protocol protocol, Role role) {
    this.number = number;
    this.protocol = protocol;
    this.role = role;
  }

  public int number() {
    return number;
  }

  public Protocol protocol() {
    return protocol;
  }

  public Role role() {
    return role;
  }

  /** Null: none that is known here. */
  public static Operation of(int number) {
    return number >= 1 && number <= values().length ? values()[number - 1] : null;
  }
}
