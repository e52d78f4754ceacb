package assent.jdbc;

import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The statements in a text of SQL: comments and what is quoted do not count, and each is looked at. */
final class Statements {
  private static final String OF_ALL = "BEGIN|START\\s+TRANSACTION|COMMIT|END|ABORT"
      + "|ROLLBACK(?!\\s+(WORK\\s+|TRANSACTION\\s+)?TO\\b)|PREPARE\\s+TRANSACTION|XA|SET\\b.*\\bAUTOCOMMIT";
  private static final int FLAGS = Pattern.CASE_INSENSITIVE | Pattern.DOTALL;
  private static final Pattern ENDING = Pattern.compile("\\s*(" + OF_ALL + ")\\b", FLAGS);
  // LOCK TABLE of PostgreSQL ends nothing.
  private static final Pattern ENDING_MYSQL = Pattern.compile("\\s*(" + OF_ALL + "|(UN)?LOCK\\s+TABLES?)\\b", FLAGS);
  private static final Pattern HAS_BODY =
      Pattern.compile("\\s*CREATE\\b.*\\b(TRIGGER|PROCEDURE|FUNCTION|EVENT|PACKAGE)\\b", FLAGS);
  private static final Pattern DOLLAR_QUOTE = Pattern.compile("\\$([\\p{L}_][\\p{L}\\p{N}_]*)?\\$");
  // What MariaDB and MySQL carry out: the number is the version from which they do.
  private static final Pattern CARRIED_OUT = Pattern.compile("/\\*M?!\\d*");

  private final String sql;
  private final Dialect dialect;
  private final StringBuilder bare = new StringBuilder(); // the statement, without comments and what is quoted
  private int at;
  private boolean hasBody; // of semicolons that end nothing
  private String ending;

  private Statements(String sql, Dialect dialect) {
    this.sql = sql;
    this.dialect = dialect;
  }

  /** What ends the transaction, by its first words. Null: nothing does. */
  static String ending(String sql, Dialect dialect) {
    Statements statements = new Statements(sql, dialect);
    statements.read();
    return statements.ending;
  }

  private void read() {
    while (at < sql.length() && ending == null && !hasBody) readOne();
    look();
  }

  private void readOne() {
    char next = sql.charAt(at);
    boolean isMysql = dialect == Dialect.MYSQL;
    if (next == ';') {
      look();
      at++;
    } else if (next == '\'' || next == '"' || next == '`') {
      quoted(next);
    } else if (next == '[' && dialect == Dialect.SQLITE) {
      skipTo("]", at);
    } else if (next == '$' && dialect == Dialect.POSTGRESQL) {
      dollar();
    } else if (next == '#' && isMysql || sql.startsWith("--", at) && (!isMysql || isBlank(at + 2))) {
      skipTo("\n", at);
    } else if (sql.startsWith("/*", at)) {
      comment();
    } else if (isMysql && sql.startsWith("*/", at)) { // of what is carried out
      skipTo("*/", at);
    } else {
      bare.append(next);
      at++;
    }
  }

  private void look() {
    Matcher found = (dialect == Dialect.MYSQL ? ENDING_MYSQL : ENDING).matcher(bare);
    if (ending == null && found.lookingAt()) ending = found.group(1).toUpperCase(Locale.ROOT).replaceAll("\\s+", " ");
    hasBody |= HAS_BODY.matcher(bare).lookingAt();
    bare.setLength(0);
  }

  private boolean isBlank(int place) {
    return place >= sql.length() || sql.charAt(place) <= ' ';
  }

  private void skipTo(String end, int from) {
    int found = sql.indexOf(end, from);
    at = found < 0 ? sql.length() : found + end.length();
    bare.append(' ');
  }

  private void comment() {
    Matcher carriedOut = CARRIED_OUT.matcher(sql).region(at, sql.length());
    if (dialect == Dialect.MYSQL && carriedOut.lookingAt()) {
      at = carriedOut.end();
      bare.append(' ');
    } else if (dialect == Dialect.POSTGRESQL) {
      nested();
    } else {
      skipTo("*/", at + 2);
    }
  }

  /** PostgreSQL's comments have others in them. */
  private void nested() {
    int depth = 0;
    do {
      boolean begins = sql.startsWith("/*", at);
      boolean ends = sql.startsWith("*/", at);
      depth += begins ? 1 : ends ? -1 : 0;
      at += begins || ends ? 2 : 1;
    } while (depth > 0 && at < sql.length());
    bare.append(' ');
  }

  private void dollar() {
    Matcher tag = DOLLAR_QUOTE.matcher(sql).region(at, sql.length());
    boolean isWithinName = bare.length() > 0 && Character.isJavaIdentifierPart(bare.charAt(bare.length() - 1));
    if (!isWithinName && tag.lookingAt()) {
      skipTo(tag.group(), tag.end());
    } else {
      bare.append('$');
      at++;
    }
  }

  /** A quote that is doubled is the end of one and the begin of another. */
  private void quoted(char quote) {
    boolean escapes = quote != '`' && (dialect == Dialect.MYSQL || dialect == Dialect.POSTGRESQL && isEscapeString());
    int from = ++at;
    while (at < sql.length() && sql.charAt(at) != quote) at += escapes && sql.charAt(at) == '\\' ? 2 : 1;
    at = Math.min(at, sql.length());
    // The name of a setting may be quoted.
    bare.append(quote == '`' ? sql.substring(from, at).replaceAll("\\W", "_") : "?");
    at = Math.min(at + 1, sql.length());
  }

  private boolean isEscapeString() {
    int length = bare.length();
    boolean isMarked = length > 0 && Character.toUpperCase(bare.charAt(length - 1)) == 'E';
    return isMarked && (length == 1 || !Character.isJavaIdentifierPart(bare.charAt(length - 2)));
  }
}
