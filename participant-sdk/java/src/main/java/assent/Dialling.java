package assent;

import assent.AssentException.ConfigError;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;

/**
 * What the connections of one client or participant have in common: TLS, tokens, gRPC's options. Wrong files are a
 * ConfigError when it is made.
 */
final class Dialling {
  static final Metadata.Key<String> AUTHORIZATION = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
  static final int MAX_MESSAGE_BYTES = 2 * Limits.MAX_FRAME_BYTES; // a transaction in full is larger than a frame
  private static final int MAX_TOKEN_BYTES = 16 * 1024;
  private static final int MAX_FILE_BYTES = 1024 * 1024;
  private static final Pattern WORD = Pattern.compile("[\\x21-\\x7e]*");

  private final Tls tls;
  private final Token token;
  private final Duration keepalive;
  private volatile String lastSecret;

  Dialling(Tls tls, Token token, Duration keepalive) {
    this.tls = tls;
    this.token = token;
    this.keepalive = keepalive;
    if (tls.isWanted()) {
      if (tls.caFile().isEmpty()) {
        throw new ConfigError("TLS needs the CAs that are believed: caFile, or ASSENT_TLS_CA");
      }
      if (tls.certFile().isEmpty() != tls.keyFile().isEmpty()) {
        throw new ConfigError("a certificate needs its key, and a key its certificate: certFile and keyFile"
            + " (ASSENT_TLS_CERT, ASSENT_TLS_KEY)");
      }
      credentials();
    }
    secret();
  }

  static String environment(String name) {
    String value = System.getenv(name);
    return value == null ? "" : value;
  }

  static byte[] read(String what, String path, int limit) {
    try {
      if (Files.size(Path.of(path)) > limit) throw new IOException("it has more than " + limit + " bytes");
      return Files.readAllBytes(Path.of(path));
    } catch (IOException | RuntimeException wrong) {
      throw new ConfigError(
          "the file of " + what + ", " + path + ", cannot be read: " + Text.sentenceOf(wrong), wrong);
    }
  }

  static byte[] readPem(String what, String path) {
    byte[] data = read(what, path, MAX_FILE_BYTES);
    if (!new String(data, StandardCharsets.ISO_8859_1).contains("-----BEGIN")) {
      throw new ConfigError("the file of " + what + ", " + path + ", has nothing in PEM");
    }
    return data;
  }

  /** Of a key: what Java can read. */
  static byte[] readKey(String path) {
    byte[] data = readPem("the key", path);
    if (!new String(data, StandardCharsets.ISO_8859_1).contains("-----BEGIN PRIVATE KEY-----")) {
      throw new ConfigError("the file of the key, " + path + ", is not in PKCS #8, which Java wants:"
          + " openssl pkcs8 -topk8 -nocrypt -in KEY -out KEY.pk8");
    }
    return data;
  }

  private ChannelCredentials credentials() {
    try {
      TlsChannelCredentials.Builder builder = TlsChannelCredentials.newBuilder()
          .trustManager(new ByteArrayInputStream(readPem("CAs", tls.caFile())));
      if (!tls.certFile().isEmpty()) {
        builder.keyManager(new ByteArrayInputStream(readPem("the certificate", tls.certFile())),
            new ByteArrayInputStream(readKey(tls.keyFile())));
      }
      return builder.build();
    } catch (IOException wrong) {
      throw new ConfigError("the files of TLS cannot be used: " + Text.sentenceOf(wrong), wrong);
    }
  }

  /** While the file cannot be used, as when it is just being renewed, what it said last counts. */
  private String secret() {
    try {
      lastSecret = readSecret();
    } catch (ConfigError wrong) {
      if (lastSecret == null) throw wrong;
    }
    return lastSecret;
  }

  private String readSecret() {
    String secret = token.secret();
    if (!token.file().isEmpty()) {
      byte[] data = read("the token", token.file(), MAX_TOKEN_BYTES);
      secret = new String(data, StandardCharsets.UTF_8).strip();
      if (secret.isEmpty()) throw new ConfigError("the file of the token, " + token.file() + ", is empty");
    }
    if (!WORD.matcher(secret).matches()) {
      throw new ConfigError("the token has blanks, or what is not ASCII, in it; a token is one word");
    }
    return secret;
  }

  boolean isSecure(String endpoint) {
    return tls.isWanted() && !Endpoint.isUnix(endpoint);
  }

  /** Another one, when a file has changed: connections from then on are to be made anew. */
  String stamp() {
    StringBuilder stamp = new StringBuilder();
    for (String path : List.of(tls.caFile(), tls.certFile(), tls.keyFile())) {
      if (path.isEmpty()) continue;
      try {
        BasicFileAttributes found = Files.readAttributes(Path.of(path), BasicFileAttributes.class);
        stamp.append(found.lastModifiedTime().to(TimeUnit.NANOSECONDS)).append('/').append(found.fileKey());
      } catch (IOException missing) {
        stamp.append('-'); // what is connected stays so; the next connection says what is wrong
      }
      stamp.append(',');
    }
    return stamp.toString();
  }

  /** Goes along with each call. */
  Metadata metadata(String endpoint) {
    Metadata metadata = new Metadata();
    String secret = secret();
    if (secret.isEmpty()) return metadata;
    if (!isSecure(endpoint) && !Endpoint.isNear(endpoint) && !token.overPlain()) {
      throw new ConfigError("a token is not sent to " + endpoint + " without TLS, where anybody on the way may read it:"
          + " set ASSENT_TLS_CA (or tls),"
          + " or overPlain of the token (ASSENT_TOKEN_OVER_PLAIN=1) if the network is yours alone");
    }
    metadata.put(AUTHORIZATION, "Bearer " + secret);
    return metadata;
  }

  /** A connection of its own. It is dialled with its first call. */
  ManagedChannel connect(String endpoint) {
    boolean secure = isSecure(endpoint);
    ChannelCredentials credentials = secure ? credentials() : InsecureChannelCredentials.create();
    ManagedChannelBuilder<?> builder = Grpc.newChannelBuilder(Endpoint.target(endpoint), credentials)
        .proxyDetector(address -> null) // never through a web proxy that happens to be in the environment
        .maxInboundMessageSize(MAX_MESSAGE_BYTES)
        .disableRetry() // ours know what is idempotent
        .disableServiceConfigLookUp();
    if (!keepalive.isZero()) {
      long ms = keepalive.toMillis();
      builder.keepAliveTime(ms, TimeUnit.MILLISECONDS).keepAliveTimeout(Math.min(ms, 10_000), TimeUnit.MILLISECONDS);
    }
    if (secure && !tls.serverName().isEmpty()) builder.overrideAuthority(tls.serverName());
    return builder.build();
  }
}
