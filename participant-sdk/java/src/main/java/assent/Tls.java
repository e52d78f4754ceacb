package assent;

/**
 * Files in PEM; one that has changed counts for connections from then on. Without a Tls of its own a client or
 * participant takes the environment variables ASSENT_TLS_CA, ASSENT_TLS_CERT, ASSENT_TLS_KEY and
 * ASSENT_TLS_SERVER_NAME; without those there is no TLS.
 *
 * @param caFile the CAs that sign the coordinators' certificates
 * @param certFile what is shown to the coordinator; empty: nothing is
 * @param keyFile its key, in PKCS #8 ("BEGIN PRIVATE KEY")
 * @param serverName what has to be in the coordinators' certificates; empty: the host of the endpoint
 */
public record Tls(String caFile, String certFile, String keyFile, String serverName) {
  /** For a coordinator that asks for no certificate. */
  public Tls(String caFile) {
    this(caFile, "", "", "");
  }

  static Tls ofEnvironment() {
    return new Tls(Dialling.environment("ASSENT_TLS_CA"), Dialling.environment("ASSENT_TLS_CERT"),
        Dialling.environment("ASSENT_TLS_KEY"), Dialling.environment("ASSENT_TLS_SERVER_NAME"));
  }

  boolean isWanted() {
    return !(caFile + certFile + keyFile + serverName).isEmpty();
  }
}
