package assent;

/**
 * Who asks, where the coordinator has rules: the secret itself, or a file with it, read again for each call, so that it
 * can be renewed. Without a Token of its own a client or participant takes the environment variables ASSENT_TOKEN,
 * ASSENT_TOKEN_FILE and ASSENT_TOKEN_OVER_PLAIN (1: yes); without those no token is shown.
 *
 * @param overPlain a token is not sent over a network without TLS, where anybody may read it; true sends it all the
 *     same
 */
public record Token(String secret, String file, boolean overPlain) {
  public static Token of(String secret) {
    return new Token(secret, "", false);
  }

  public static Token ofFile(String file) {
    return new Token("", file, false);
  }

  static Token ofEnvironment() {
    return new Token(Dialling.environment("ASSENT_TOKEN"), Dialling.environment("ASSENT_TOKEN_FILE"),
        Dialling.environment("ASSENT_TOKEN_OVER_PLAIN").equals("1"));
  }

  /** Not for logs. */
  @Override
  public String toString() {
    return "Token[file=" + file + "]";
  }
}
