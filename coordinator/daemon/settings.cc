#include "coordinator/daemon/settings.h"

#include "coordinator/daemon/config_checks.h"

namespace assent::daemon {
namespace {

constexpr Setting AtOnce(Setting setting) {
  setting.at_once = true;
  return setting;
}

constexpr Setting FileOf(const char* name, std::string Config::*field, const char* help,
                         Status (*check)(const Config&) = nullptr) {
  return {name, field, 0, 0, check, help, /*at_once=*/false, /*file=*/true};
}

constexpr Setting Of(const char* name, Field field, const char* help,
                     Status (*check)(const Config&) = nullptr) {
  return {name, field, 0, 0, check, help};
}

constexpr Setting Number(const char* name, std::int64_t Config::*field, std::int64_t least,
                         std::int64_t most, const char* help,
                         Status (*check)(const Config&) = nullptr) {
  return {name, field, least, most, check, help};
}

constexpr Setting Ratio(const char* name, double Config::*field, const char* help) {
  return {name, field, 0, 1, nullptr, help};
}

constexpr std::int64_t kTebibyteMib = 1024 * 1024;

constexpr Setting kSettings[] = {
    Of("listen", &Config::listen,
       "Address for everybody: HOST:PORT or unix:PATH; port 0 takes a free one, the card says "
       "which",
       CheckListen),
    Of("http-listen", &Config::http_listen,
       "Address for HTTP: HOST:PORT, port 0 takes a free one; empty or none: no HTTP",
       CheckHttpListen),
    Of("allow-insecure", &Config::allow_insecure, "Listen where others can reach it, without TLS"),
    FileOf(
        "tls-cert", &Config::tls_cert,
        "File with the certificate of this coordinator and the chain above it, in PEM: --listen "
        "speaks TLS alone then, but for a Unix socket. Read again on SIGHUP, and when it changes; "
        "none: no TLS",
        CheckTls),
    FileOf(
        "tls-key", &Config::tls_key,
        "File with the key of --tls-cert, in PEM, which its owner alone may read. Read again with "
        "it"),
    FileOf(
        "tls-client-ca", &Config::tls_client_ca,
        "File with the CAs, in PEM, that sign the certificates of those who come; none: nobody is "
        "asked for one. Read again with the certificate",
        CheckTlsClientCa),
    Of("tls-client-cert", &Config::tls_client_cert,
       "required: nobody is served without a certificate of --tls-client-ca; optional: who shows "
       "one needs a good one",
       CheckTlsClientCert),
    Of("http-tls", &Config::http_tls,
       "With --tls-cert, --http-listen speaks TLS as well; --http-tls=false: it does not"),
    FileOf("tls-peer-ca", &Config::tls_peer_ca,
           "File with the CAs of other coordinators that share the log, which are dialled over TLS "
           "with --tls-cert; none: --tls-client-ca",
           CheckTlsPeerCa),
    FileOf(
        "tls-participant-ca", &Config::tls_participant_ca,
        "File with the CAs of participants that --unary names as tls:HOST:PORT or https://, which "
        "are dialled over TLS with --tls-cert, if there is one"),
    FileOf("tls-etcd-ca", &Config::tls_etcd_ca,
           "File with the CAs of etcd, for https:// in --etcd-endpoints, which is dialled over TLS "
           "with --tls-cert, if there is one"),
    FileOf("tls-webhook-ca", &Config::tls_webhook_ca,
           "File with the CAs of an https:// receiver of --webhook-url, which is shown --tls-cert "
           "then, "
           "if it asks; none: those whom this system trusts, and nothing is shown. Read again on "
           "SIGHUP, and when it changes",
           CheckTlsWebhookCa),
    FileOf("tls-trace-ca", &Config::tls_trace_ca,
           "Likewise, of an https:// collector of --trace-endpoint", CheckTlsTraceCa),
    Of("data", &Config::data, "Folder of the log; created if missing; one daemon at a time",
       CheckData),
    Of("log", &Config::log,
       "Where the log is: sqlite:FOLDER, or postgresql://USER@HOST:PORT/DATABASE, which several "
       "coordinators share; none: the folder of --data",
       CheckLog),
    Of("advertise", &Config::advertise,
       "HOST:PORT at which participants and other coordinators reach this one; none: what --listen "
       "says. With PostgreSQL alone, like the next four",
       CheckAdvertise),
    Of("node", &Config::node,
       "Name of this coordinator among those that share the log, the same at each start; none: "
       "what --advertise says. A start under a name ends whoever else has it",
       CheckNode),
    Number("lease-seconds", &Config::lease_seconds, 1, 60,
           "How long a coordinator may be silent before the others take its transactions over"),
    Number("new-log-slots", &Config::new_log_slots, 1, 1024,
           "Parts into which a new log is divided, for ever: each belongs to one coordinator"),
    Of("store-failover", &Config::store_failover,
       "detect: after another server has taken over for the shared database, nothing is presumed "
       "about "
       "what began before; lossless: it is, if the server has synchronous standbys",
       CheckStoreFailover),
    Of("unary", &Config::unary,
       "NAME=HOST:PORT of a participant that is dialled, NAME=tls:HOST:PORT over TLS, "
       "NAME=http://HOST:PORT/PATH or https:// of one that serves HTTP; each of these behind dns: "
       "for all addresses that HOST has, at any time; NAME=etcd:PREFIX for those that etcd has "
       "there; "
       "repeat it for more services or more "
       "instances",
       CheckUnary),
    Number("unary-max-in-flight", &Config::unary_max_in_flight, 1, 65'536,
           "Calls under way to one dialled address"),
    Number("unary-health-seconds", &Config::unary_health_seconds, 0, 3600,
           "How often each dialled address, but for those of HTTP, is asked whether it serves "
           "(grpc.health.v1): nothing new goes to who says no. 0: never"),
    FileOf("unary-secrets-file", &Config::unary_secrets_file,
           "File with the secrets, of 16 to 4096 bytes, with which calls to http:// and https:// "
           "participants are signed, as NAME: SECRET on each line; none: they are not signed"),
    Of("dns-servers", &Config::dns_servers,
       "HOST:PORT, in digits, of the servers that are asked for dns: names, with commas between "
       "several; none: those of the system",
       CheckDnsServers),
    Of("discover-loopback", &Config::discover_loopback,
       "What a dns: or etcd: name leads to may be this machine itself"),
    Of("etcd-endpoints", &Config::etcd_endpoints,
       "HOST:PORT or https://HOST:PORT of the members of etcd that are asked for etcd: names, one "
       "after the other, with commas between them; none: there is no etcd",
       CheckEtcd),
    Of("etcd-user", &Config::etcd_user,
       "Name as which etcd is asked, with the password in --etcd-password-file; none: as nobody"),
    FileOf("etcd-password-file", &Config::etcd_password_file,
           "File with the password of --etcd-user"),
    Of("etcd-register", &Config::etcd_register,
       "Prefix of etcd under which this coordinator says where it is, for as long as it runs; "
       "none: it does not",
       CheckEtcdRegister),
    FileOf("service-policies", &Config::service_policies,
           "File that says how each service is treated: who of its instances is next, breakers, "
           "limits. SIGHUP reads it again. None: all are treated as usual"),
    Of("webhook-url", &Config::webhook_url,
       "http://HOST:PORT/PATH, or https://, that is told of transactions that begin to need a "
       "person, or end MIXED or HAZARD; none: nobody is",
       CheckWebhookUrl),
    FileOf(
        "webhook-secret-file", &Config::webhook_secret_file,
        "File with the secret, of 16 to 4096 bytes, with which what is told is signed; none: there "
        "is no webhook"),
    Of("trace-endpoint", &Config::trace_endpoint,
       "http://HOST:PORT/PATH, or https://, of a collector of traces, which is told by OTLP over "
       "HTTP; without a path it is /v1/traces; none: nobody is",
       CheckTraceEndpoint),
    FileOf(
        "trace-headers-file", &Config::trace_headers_file,
        "File with headers for the collector, such as a token, as Name: value on each line; none: "
        "there are no more"),
    Ratio("trace-sample-ratio", &Config::trace_sample_ratio,
          "Part of the transactions that are traced, from 0 to 1, of those that come without a "
          "trace of their own"),
    Of("trace-service-name", &Config::trace_service_name,
       "Name of this coordinator in traces: the same for all that share a log",
       CheckTraceServiceName),
    Of("trace-url", &Config::trace_url,
       "http:// or https:// address where people look at a trace, with {trace_id} in it; none: "
       "nobody is shown one",
       CheckTraceUrl),
    FileOf(
        "auth-rules", &Config::auth_rules,
        "File that says who may what, a sentence a line; what it does not allow is denied. SIGHUP "
        "reads it again. None: nobody is asked who he is, and all may everything",
        CheckAuth),
    FileOf("auth-tokens", &Config::auth_tokens,
           "File with the names and hashes of tokens, as assentctl auth token makes them. SIGHUP "
           "reads "
           "it again",
           CheckAuth),
    FileOf(
        "auth-jwks", &Config::auth_jwks,
        "File with the public keys of whoever issues JWTs, as a JWKS. SIGHUP reads it again. None: "
        "no JWT is taken",
        CheckJwt),
    Of("auth-jwt-issuer", &Config::auth_jwt_issuer,
       "Issuer whose JWTs are taken: their iss, letter by letter. There is one, so that a subject "
       "is one person",
       CheckJwt),
    Of("auth-jwt-audience", &Config::auth_jwt_audience,
       "What the aud of a JWT has to have: the name of this service with its issuer", CheckJwt),
    Of("auth-jwt-algorithms", &Config::auth_jwt_algorithms,
       "Algorithms of signatures that are taken, with commas between them, of RS256, RS384, RS512, "
       "PS256, PS384, PS512, ES256, ES384 and EdDSA",
       CheckJwt),
    Number("max-auth-failures-per-address", &Config::max_auth_failures_per_address, 0, 1'000'000,
           "Tokens and JWTs of an address within a minute that may be none; beyond it, new ones of "
           "that address are not looked at until the minute is over. 0: any number"),
    Of("encryption-keys", &Config::encryption_keys,
       "File with the keys under which the log is sealed, as assentctl keys makes them, which its "
       "owner alone may read. SIGHUP reads it again; none: the log is in the clear"),
    Number("shards", &Config::shards, 1, 64,
           "Threads that drive transactions; more pays only with cores to spare"),
    Number("max-transactions", &Config::max_transactions, 1, 10'000'000,
           "Unfinished transactions; beyond it new ones are refused"),
    Number("max-payload-mib", &Config::max_payload_mib, 16, kTebibyteMib,
           "Payloads and results of unfinished transactions in memory; beyond it new work is "
           "refused. At least 16, and 3 for each shard",
           CheckPayload),
    Number("max-sessions", &Config::max_sessions, 1, 100'000,
           "Connected participant instances; beyond it new ones are refused"),
    AtOnce(Number(
        "max-connections", &Config::max_connections, 1, 1'000'000,
        "Connections; at most what the limit on open files leaves. Beyond it whoever comes is "
        "turned away. SIGHUP changes it")),
    AtOnce(Number("max-connections-per-address", &Config::max_connections_per_address, 0, 1'000'000,
                  "Connections from one address; 0: half of all. SIGHUP changes it")),
    Number("max-http-connections", &Config::max_http_connections, 1, 1'000'000,
           "Connections of HTTP; at most a quarter of the limit on open files. Beyond it whoever "
           "comes is told so"),
    Number("max-http-connections-per-address", &Config::max_http_connections_per_address, 0,
           1'000'000, "Connections of HTTP from one address; 0: half of all"),
    Number("max-transport-mib", &Config::max_transport_mib, 64, kTebibyteMib,
           "What gRPC holds for all connections, messages that have not come in whole among it; "
           "beyond it calls are cancelled"),
    Number("max-unread-mib", &Config::max_unread_mib, 16, kTebibyteMib,
           "Answers that nobody has read yet; beyond it those who do not read are cancelled"),
    Number("retention-hours", &Config::retention_hours, 0, 24 * 3650,
           "How long finished transactions stay queryable, in hours that the daemon has run; 0: no "
           "bound"),
    Number("retention-mib", &Config::retention_mib, 0, kTebibyteMib,
           "Size of the log beyond which the oldest finished ones go; 0: no bound"),
    Number("reserve-mib", &Config::reserve_mib, 0, 65'536,
           "Disk space set aside for a full disk; 0 (none) or at least 8", CheckReserve),
    AtOnce(Number(
        "drain-seconds", &Config::drain_seconds, 0, 3600,
        "How long SIGTERM waits for transactions under way; never for one that can only wait "
        "for a participant that is away. SIGHUP changes it")),
    Number("keepalive-seconds", &Config::keepalive_seconds, 1, 3600,
           "How often a silent connection is probed; given up when the probe has no answer for two "
           "thirds of it. Clients may probe three times as often"),
    Number("self-dial-seconds", &Config::self_dial_seconds, 0, 3600,
           "How often the daemon dials itself; 0: never"),
    Of("reflection", &Config::reflection, "Answer gRPC reflection; --reflection=false: do not"),
    AtOnce(Of("log-level", &Config::log_level, "debug, info, warn or error. SIGHUP changes it",
              CheckLogLevel)),
    Of("log-format", &Config::log_format, "text or json, on stderr", CheckLogFormat),
};

}  // namespace

std::span<const Setting> Settings() { return kSettings; }

}  // namespace assent::daemon
