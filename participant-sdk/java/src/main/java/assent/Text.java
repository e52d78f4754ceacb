package assent;

import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.regex.Pattern;

/** What is done to texts of others, and said of wrong ones. */
final class Text {
  private static final Pattern BREAKS = Pattern.compile("[\\p{Cc}\\p{Zl}\\p{Zp}]");
  private static final Pattern ID = Pattern.compile("[A-Za-z0-9._:-]+");
  private static final Pattern NAME = Pattern.compile("[A-Za-z0-9._:/-]+");

  /**
   * As many whole characters as have room. What is no character (a lone surrogate), and the zero that not every
   * database keeps, become others.
   */
  static String cut(String text, int limit) {
    byte[] data = text.replace('\0', '?').getBytes(StandardCharsets.UTF_8);
    int end = Math.min(limit, data.length);
    while (end > 0 && end < data.length && (data[end] & 0xc0) == 0x80) end--;
    return new String(data, 0, end, StandardCharsets.UTF_8);
  }

  /** What others say of themselves must not end a line and begin another. */
  static String oneLine(String text) {
    return cut(BREAKS.matcher(text).replaceAll("?"), 4096);
  }

  static void checkId(String field, String text, int limit) {
    if (text != null && text.length() <= limit && ID.matcher(text).matches()) return;
    throw new AssentException.InvalidArgument(
        field + " is " + shown(text) + "; it takes 1 to " + limit + " of [A-Za-z0-9._:-]");
  }

  static void checkName(String field, String text) {
    if (text != null && text.length() <= Limits.MAX_NAME_BYTES && NAME.matcher(text).matches()) return;
    throw new AssentException.InvalidArgument(
        field + " is " + shown(text) + "; it takes 1 to " + Limits.MAX_NAME_BYTES + " of [A-Za-z0-9._:/-]");
  }

  static void checkPairs(String field, Map<String, String> pairs, int limit) {
    if (pairs.size() > Limits.MAX_PAIRS) {
      throw new AssentException.InvalidArgument(
          field + " has " + pairs.size() + " entries; at most " + Limits.MAX_PAIRS);
    }
    pairs.forEach((key, value) -> {
      if (key.length() > Limits.MAX_KEY_BYTES || !NAME.matcher(key).matches()) {
        throw new AssentException.InvalidArgument(
            field + " key is " + shown(key) + "; it takes 1 to " + Limits.MAX_KEY_BYTES + " of [A-Za-z0-9._:/-]");
      }
      if (bytes(value) > limit) {
        throw new AssentException.InvalidArgument(
            field + "[" + key + "] has " + bytes(value) + " bytes; at most " + limit);
      }
    });
  }

  static String shown(String text) {
    return text == null ? "null" : "\"" + cut(oneLine(text), 100) + "\"";
  }

  /** Of whatever was thrown. */
  static String sentenceOf(Throwable error) {
    return error.getMessage() == null
        ? error.getClass().getSimpleName()
        : error.getClass().getSimpleName() + ": " + error.getMessage();
  }

  static int bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8).length;
  }

  private Text() {}
}
