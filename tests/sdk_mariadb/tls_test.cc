// The way to the server over TLS: who may vouch for it, under which name, and who we are.

#include <filesystem>

#include <sys/stat.h>

#include "tests/sdk_mariadb/store_fixture.h"
#include "tests/support/process.h"

namespace assent::mariadb::test {
namespace {

using std::chrono_literals::operator""s;

void RunOpenSsl(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "openssl");
  const auto done = assent::test::RunToEnd({.argv = std::move(arguments)}, 60s);
  ASSERT_EQ(done.exit_code, 0) << done.output;
}

// A CA in a folder that the server may read.
class Authority {
 public:
  explicit Authority(const std::string& name) {
    std::filesystem::permissions(folder_.path(), std::filesystem::perms::others_exec,
                                 std::filesystem::perm_options::add);
    std::filesystem::permissions(folder_.path(), std::filesystem::perms::others_read,
                                 std::filesystem::perm_options::add);
    RunOpenSsl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", folder_ / "ca.key", "-out", ca(), "-days", "2", "-subj", "/CN=" + name});
  }
  std::string ca() const { return folder_ / "ca.pem"; }
  std::string Certificate(const std::string& name) const { return folder_ / (name + ".pem"); }
  std::string Key(const std::string& name) const { return folder_ / (name + ".key"); }
  void Make(const std::string& name, const std::string& alternative) const {
    RunOpenSsl({"req",
                "-x509",
                "-CA",
                ca(),
                "-CAkey",
                folder_ / "ca.key",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-keyout",
                Key(name),
                "-out",
                Certificate(name),
                "-days",
                "2",
                "-subj",
                "/CN=" + name,
                "-addext",
                "subjectAltName=" + alternative,
                "-addext",
                "basicConstraints=CA:FALSE"});
    ASSERT_EQ(chmod(Key(name).c_str(), 0644), 0);
  }
  std::map<std::string, std::string> ServerSettings(const std::string& name) const {
    return {{"ssl-ca", ca()}, {"ssl-cert", Certificate(name)}, {"ssl-key", Key(name)}};
  }

 private:
  assent::test::TempDir folder_;
};

class TlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ours_.Make("server", "IP:127.0.0.1,DNS:localhost");
    ours_.Make("service", "DNS:service");
    ours_.Make("elsewhere", "DNS:elsewhere.example");
  }
  // Of a server with this certificate; empty: without TLS.
  MariaServer& Serve(const std::string& certificate) {
    server_ =
        std::make_unique<MariaServer>(certificate.empty() ? std::map<std::string, std::string>{}
                                                          : ours_.ServerSettings(certificate));
    EXPECT_EQ(server_->Start(), OkStatus());
    database_ = server_->NewDatabase();
    server_->Sql(database_,
                 "CREATE USER bank@'%' IDENTIFIED BY 'secret' REQUIRE X509; GRANT ALL ON *.* TO "
                 "bank@'%'");
    return *server_;
  }
  Options WithCa(const std::string& ca) const {
    Options options;
    options.server = server_->Address(database_);
    options.server.tls_ca = ca;
    options.setup = [](Db& db) { db.ExecScript(kMakeAccounts); };
    return options;
  }
  static Status OpenStatus(Options options) { return Store::Open(std::move(options)).status(); }

  Authority ours_{"ours"};
  std::unique_ptr<MariaServer> server_;
  std::string database_;
};

TEST_F(TlsTest, TheServerHasToBeTheOneOfThatNameAndCa) {
  Serve("server");
  auto store = Store::Open(WithCa(ours_.ca()));
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  EXPECT_NE(
      server_->Sql(database_, "SELECT count(*) FROM information_schema.PROCESSLIST WHERE db = '" +
                                  database_ + "' AND id <> CONNECTION_ID()"),
      "0");
  const Authority others("others");
  const Status stranger = OpenStatus(WithCa(others.ca()));
  EXPECT_EQ(stranger.code(), Code::kUnavailable) << stranger.message();
  EXPECT_NE(stranger.message().find("certificate"), std::string::npos) << stranger.message();
}

TEST_F(TlsTest, AnotherNameIsAnotherServer) {
  Serve("elsewhere");
  const Status status = OpenStatus(WithCa(ours_.ca()));
  EXPECT_EQ(status.code(), Code::kUnavailable) << status.message();
}

TEST_F(TlsTest, WithoutTlsNothingIsSaid) {
  Serve("");
  const Status status = OpenStatus(WithCa(ours_.ca()));
  EXPECT_EQ(status.code(), Code::kUnavailable) << status.message();
}

TEST_F(TlsTest, TheServerCanAskWhoWeAre) {
  Serve("server");
  Options options = WithCa(ours_.ca());
  options.server.user = "bank";
  options.server.password = "secret";
  EXPECT_EQ(OpenStatus(options).code(), Code::kPermissionDenied);
  options.server.tls_certificate = ours_.Certificate("service");
  EXPECT_EQ(OpenStatus(options).code(), Code::kInvalidArgument) << "and no key";
  options.server.tls_key = ours_.Key("service");
  auto store = Store::Open(options);
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  RegisterAccounts(**store);
  // Prepared work has a connection of its own, which is let in the same way.
  const Branch branch{.protocol = Protocol::kTwoPhase, .payload = "1 -1"};
  EXPECT_EQ(Ask(**store, branch.To(Operation::kPrepare)).kind, Reply::Kind::kDone);
  EXPECT_EQ(Ask(**store, branch.To(Operation::kCommit)).kind, Reply::Kind::kDone);
  EXPECT_EQ(server_->Sql(database_, "SELECT free FROM account WHERE id = 1"), "99");
}

}  // namespace
}  // namespace assent::mariadb::test
