package assent;

/**
 * Who asks, where the coordinator has rules: the secret itself, or a file with it, read again for each call, so that it
 * can be renewed. Without a Token of its own a client or participant takes the environment variables ASSENT_TOKEN and
 * ASSENT_TOKEN_FILE; without those no token is shown.
 *
 * @param withoutTls a token is not sent over a network without TLS, where anybody may read it; true sends it all the
 *     same
 */
public record Token(String secret, String file, boolean withoutTls) {
  public static Token of(String secret) {
    return new Token(secret, "", false);
  }

  public static Token ofFile(String file) {
    return new Token("", file, false);
  }

  static Token ofEnvironment() {
    return new Token(Dialling.environment("ASSENT_TOKEN"), Dialling.environment("ASSENT_TOKEN_FILE"), false);
  }

  /** Not for logs. */
  @Override
  public String toString() {
    return "Token[file=" + file + "]";
  }
}
