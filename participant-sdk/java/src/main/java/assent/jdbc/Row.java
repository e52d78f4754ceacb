package assent.jdbc;

import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.Map;

/** A row of a result, by the names of its columns in whatever case. */
public final class Row {
  private final Map<String, Object> values;

  Row(Map<String, Object> values) {
    this.values = values;
  }

  /** As the driver gives it; null: SQL's NULL. IllegalArgumentException: there is no such column. */
  public Object get(String column) {
    String name = column.toLowerCase(Locale.ROOT);
    if (!values.containsKey(name)) {
      throw new IllegalArgumentException("there is no column " + column + " among " + values.keySet());
    }
    return values.get(name);
  }

  public String text(String column) {
    Object value = get(column);
    if (value instanceof byte[] data) return new String(data, StandardCharsets.UTF_8);
    return value == null ? null : value.toString();
  }

  /** Of a column with a whole number. */
  public long number(String column) {
    Object value = get(column);
    if (value instanceof Number number) return number.longValue();
    throw new IllegalArgumentException("column " + column + " is no number: " + value);
  }

  public byte[] bytes(String column) {
    return (byte[]) get(column);
  }
}
