package assent;

import assent.AssentException.ConfigError;

/**
 * One action of a service: a handler for each of its operations. It is what {@link Actions} gives to be filled, before
 * anything starts.
 *
 * @param <F> a handler of its forward operation
 * @param <S> a handler of those that finish or undo
 */
public abstract class Action<F, S> {
  private final Protocol protocol;
  private final String name;
  F forward;
  S finish;
  S undo;

  Action(Protocol protocol, String name) {
    this.protocol = protocol;
    this.name = name;
  }

  public final Protocol protocol() {
    return protocol;
  }

  public final String name() {
    return name;
  }

  public final F forward() {
    return forward;
  }

  /** The one that finishes or undoes. Null: there is nothing to do. */
  public final S second(Operation operation) {
    return operation.role() == Operation.Role.FINISH ? finish : undo;
  }

  final String key() {
    return keyOf(protocol, name);
  }

  static String keyOf(Protocol protocol, String name) {
    return protocol.shortName() + ":" + name;
  }

  abstract void check();

  final void need(Object handler, String operation) {
    if (handler == null) throw new ConfigError("action " + key() + " has no handler of " + operation);
  }

  /** Reserves, then consumes or releases. All three are needed. */
  public static final class Tcc<F, S> extends Action<F, S> {
    Tcc(String name) {
      super(Protocol.TCC, name);
    }

    public Tcc<F, S> onTry(F handler) {
      forward = handler;
      return this;
    }

    public Tcc<F, S> onConfirm(S handler) {
      finish = handler;
      return this;
    }

    public Tcc<F, S> onCancel(S handler) {
      undo = handler;
      return this;
    }

    @Override
    void check() {
      need(forward, "try");
      need(finish, "confirm");
      need(undo, "cancel");
    }
  }

  /** A step. Without a compensation there is nothing to undo. */
  public static final class Saga<F, S> extends Action<F, S> {
    Saga(String name) {
      super(Protocol.SAGA, name);
    }

    public Saga<F, S> onAction(F handler) {
      forward = handler;
      return this;
    }

    public Saga<F, S> onCompensate(S handler) {
      undo = handler;
      return this;
    }

    @Override
    void check() {
      need(forward, "action");
    }
  }

  /** Keeps prepared work durable and unseen until the decision. All three are needed. */
  public static final class TwoPhase<F, S> extends Action<F, S> {
    TwoPhase(String name) {
      super(Protocol.TWO_PHASE, name);
    }

    public TwoPhase<F, S> onPrepare(F handler) {
      forward = handler;
      return this;
    }

    public TwoPhase<F, S> onCommit(S handler) {
      finish = handler;
      return this;
    }

    public TwoPhase<F, S> onRollback(S handler) {
      undo = handler;
      return this;
    }

    @Override
    void check() {
      need(forward, "prepare");
      need(finish, "commit");
      need(undo, "rollback");
    }
  }

  /** The adapter keeps what its one handler writes prepared, and commits it or rolls it back. */
  public static final class Prepared<F, S> extends Action<F, S> {
    Prepared(String name) {
      super(Protocol.TWO_PHASE, name);
    }

    public Prepared<F, S> onPrepare(F handler) {
      forward = handler;
      return this;
    }

    @Override
    void check() {
      need(forward, "prepare");
    }
  }
}
