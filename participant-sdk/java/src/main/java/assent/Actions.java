package assent;

import assent.AssentException.ConfigError;
import assent.AssentException.InvalidArgument;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A table of actions, filled before anything starts:
 *
 * <pre>{@code stock.tcc("reserve").onTry(…).onConfirm(…).onCancel(…);}</pre>
 *
 * @param <F> a handler of a forward operation
 * @param <S> a handler of one that finishes or undoes
 */
public abstract class Actions<F, S> {
  private final Map<String, Action<F, S>> table = new LinkedHashMap<>();

  protected Actions() {}

  public final Action.Tcc<F, S> tcc(String name) {
    return put(new Action.Tcc<>(name));
  }

  public final Action.Saga<F, S> saga(String name) {
    return put(new Action.Saga<>(name));
  }

  /** For adapters that keep prepared work. */
  protected final Action.Prepared<F, S> prepared(String name) {
    return put(new Action.Prepared<>(name));
  }

  final <A extends Action<F, S>> A put(A action) {
    checkName("action", action.name());
    if (table.putIfAbsent(action.key(), action) != null) {
      throw new ConfigError("action " + action.key() + " is registered twice");
    }
    return action;
  }

  public final Collection<Action<F, S>> actions() {
    return table.values();
  }

  /** Null: there is none. */
  protected final Action<F, S> find(Call call) {
    return table.get(Action.keyOf(call.protocol(), call.action()));
  }

  static void checkName(String field, String name) {
    try {
      Text.checkName(field, name);
    } catch (InvalidArgument wrong) {
      throw new ConfigError(wrong.getMessage());
    }
  }
}
