#include "config/settings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace rdev::config {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string a_ring = "k1:YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=";

class Settings : public testing::Test {
protected:
  Settings() {
    in.environment["HOME"] = "/home/someone";
  }
  ~Settings() override {
    if (!path_.empty())
      std::filesystem::remove(path_);
  }

  void file(const std::string& text) {
    path_ = std::filesystem::path(testing::TempDir()) / ("rdev-settings-" + std::to_string(::getpid()) + ".toml");
    std::ofstream(path_) << text;
    in.file = path_.string();
  }
  settings good() const {
    auto loaded = load(in);
    if (const auto* wrong = std::get_if<std::vector<std::string>>(&loaded)) {
      ADD_FAILURE() << testing::PrintToString(*wrong);
      return {};
    }
    return std::get<settings>(std::move(loaded));
  }
  std::vector<std::string> problems() const {
    auto loaded = load(in);
    const auto* wrong = std::get_if<std::vector<std::string>>(&loaded);
    return wrong == nullptr ? std::vector<std::string>{} : *wrong;
  }

  inputs in;

private:
  std::filesystem::path path_;
};

TEST_F(Settings, ComeFromTheFileBeforeTheDefaults) {
  file("[limits]\nrps = 7\n[runner.local]\npass_env = [\"LANG\", \"TZ\"]\n");
  const auto s = good();
  EXPECT_EQ(s.limits.rps, 7);
  EXPECT_THAT(s.runner.local.pass_env, ElementsAre("LANG", "TZ"));
  EXPECT_EQ(s.server.listen, "127.0.0.1:8080") << "what the file does not say stays as it was";
}

TEST_F(Settings, ComeFromTheEnvironmentBeforeTheFile) {
  file("[server]\nlisten = \"127.0.0.1:1\"\ndata_dir = \"/file\"\n");
  in.environment["RDEV_SERVER_LISTEN"] = "127.0.0.1:2";
  EXPECT_EQ(good().server.listen, "127.0.0.1:2");
  EXPECT_EQ(good().server.data_dir, "/file");
}

TEST_F(Settings, ComeFromTheFlagsBeforeAllElse) {
  file("[server]\nlisten = \"127.0.0.1:1\"\n");
  in.environment["RDEV_SERVER_LISTEN"] = "127.0.0.1:2";
  in.flags["server.listen"] = "127.0.0.1:3";
  EXPECT_EQ(good().server.listen, "127.0.0.1:3");
}

TEST_F(Settings, OfEveryKeyCanBeGivenByTheEnvironment) {
  in.environment["RDEV_RUNNER_LOCAL_ALLOW_NETWORK"] = "true";
  in.environment["RDEV_HTTP_TRUSTED_PROXIES"] = "10.0.0.0/8,::1";
  in.environment["RDEV_LEASES_LEASE"] = "3s";
  in.environment["RDEV_OUTPUT_MAX_BYTES"] = "16KiB";
  const auto s = good();
  EXPECT_TRUE(s.runner.local.allow_network);
  ASSERT_EQ(s.http.trusted_proxies.size(), 2U);
  EXPECT_EQ(s.http.trusted_proxies[0].text(), "10.0.0.0/8");
  EXPECT_EQ(s.leases.lease, std::chrono::seconds(3));
  EXPECT_EQ(s.output.max_bytes, 16U * 1024);
}

TEST_F(Settings, ReplaceAListAsAWhole) {
  file("[http]\ntrusted_proxies = [\"10.0.0.0/8\", \"192.168.0.0/16\"]\n");
  EXPECT_EQ(good().http.trusted_proxies.size(), 2U);
  in.environment["RDEV_HTTP_TRUSTED_PROXIES"] = "172.16.0.0/12";
  ASSERT_EQ(good().http.trusted_proxies.size(), 1U);
  in.environment["RDEV_HTTP_TRUSTED_PROXIES"] = "";
  EXPECT_TRUE(good().http.trusted_proxies.empty());
}

TEST_F(Settings, OfAFileKeepCommasWithinAnItem) {
  file("[claude]\nargv = [\"agent\", \"--tools\", \"Bash,Edit\", \"\", \"last\"]\n");
  EXPECT_THAT(good().claude.argv, ElementsAre("agent", "--tools", "Bash,Edit", "", "last"));
}

TEST_F(Settings, TakeRateLimitRpsFromTheEnvironment) {
  in.environment["RATE_LIMIT_RPS"] = "25";
  EXPECT_EQ(good().limits.rps, 25);
  in.environment["RATE_LIMIT_RPS"] = "many";
  EXPECT_THAT(problems(),
              ElementsAre(AllOf(HasSubstr("RATE_LIMIT_RPS"), HasSubstr("limits.rps"), HasSubstr("whole number"))));
}

// ---- wrong values
struct wrong_value {
  const char* key;
  const char* value;
};

TEST_F(Settings, NameTheKeyAndTheRemedyOfEveryWrongValue) {
  for (const auto& [key, value] : std::initializer_list<wrong_value>{
           {"server.listen", ""},
           {"server.listen", "8080"},
           {"server.listen", ":8080"},
           {"server.listen", "127.0.0.1"},
           {"server.listen", "127.0.0.1:"},
           {"server.listen", "127.0.0.1:http"},
           {"server.listen", "127.0.0.1:80x"},
           {"server.listen", "127.0.0.1:8080 "},
           {"server.listen", "127.0.0.1:-1"},
           {"server.listen", "127.0.0.1:65536"},
           {"server.listen", "127.0.0.1:99999999999"},
           {"server.drain_timeout", "0s"},
           {"server.drain_timeout", "11m"},
           {"server.drain_timeout", "30"},
           {"http.trusted_proxies", "10.0.0.0/33"},
           {"http.trusted_proxies", "10.0.0.0/8,proxy.example"},
           {"http.max_body_bytes", "1"},
           {"http.max_body_bytes", "65MiB"},
           {"http.max_body_bytes", "1MB"},
           {"http.threads", "0"},
           {"http.threads", "4.5"},
           {"limits.rps", "-1"},
           {"limits.rps", ""},
           {"limits.rps", "1000001"},
           {"limits.rps", "99999999999999999999"},
           {"sse.heartbeat", "0s"},
           {"commands.max_running", "0"},
           {"output.retention", "1h"},
           {"leases.renew", "1ms"},
           {"runner.kind", "kubernets"},
           {"runner.local.allow_network", "yes"},
           {"runner.local.allow_network", "True"},
           {"log.level", "INFO"},
           {"actors.threads", "257"},
       }) {
    in.flags = {{key, value}};
    const auto found = problems();
    ASSERT_EQ(found.size(), 1U) << key << " = '" << value << "'";
    EXPECT_THAT(found[0], HasSubstr(key));
    EXPECT_THAT(found[0], HasSubstr(std::string("'") + value));
    EXPECT_THAT(found[0], testing::AnyOf(HasSubstr("must be"), HasSubstr("is not a network such as"))) << "the remedy";
    EXPECT_THAT(found[0], HasSubstr("command line")) << "where it stands";
  }
}

TEST_F(Settings, TellOfEveryProblemAtOnce) {
  file("[limits]\nrps = -1\n[log]\nlevel = \"loud\"\n");
  in.environment["RDEV_SSE_HEARTBEAT"] = "soon";
  in.environment["RDEV_ADMIN_KEY"] = "short";
  in.flags["server.listen"] = "nowhere";
  EXPECT_THAT(problems(),
              testing::UnorderedElementsAre(HasSubstr("limits.rps"), HasSubstr("log.level"), HasSubstr("sse.heartbeat"),
                                            HasSubstr("RDEV_ADMIN_KEY"), HasSubstr("server.listen")));
}

TEST_F(Settings, SayInWhichFileAWrongValueStands) {
  file("[limits]\nrps = -1\n");
  EXPECT_THAT(problems(), ElementsAre(HasSubstr(*in.file)));
}

TEST_F(Settings, GuessWhatAnUnknownKeyWasMeantToBe) {
  file("[server]\nlisen = \"127.0.0.1:1\"\n");
  EXPECT_THAT(problems(), ElementsAre(AllOf(HasSubstr("server.lisen"), HasSubstr("did you mean server.listen"))));
  file("[sever]\nlisten = \"127.0.0.1:1\"\n");
  EXPECT_THAT(problems(), ElementsAre(HasSubstr("did you mean server.listen")));
}

TEST_F(Settings, GuessWhatAnUnknownVariableWasMeantToBe) {
  in.environment["RDEV_SERVER_LISEN"] = "127.0.0.1:1";
  EXPECT_THAT(problems(), ElementsAre(AllOf(HasSubstr("RDEV_SERVER_LISEN"), HasSubstr("RDEV_SERVER_LISTEN"))));
}

TEST_F(Settings, LeaveTheVariablesOfOthersAlone) {
  in.environment["RDEV_URL"] = "http://127.0.0.1:8080";
  in.environment["RDEV_API_KEY"] = "x";
  in.environment["RDEV_FAILPOINT"] = "x:kill";
  in.environment["LIMITS_RPS"] = "x";
  in.environment["rdev_limits_rps"] = "x";
  EXPECT_THAT(problems(), testing::IsEmpty());
}

TEST_F(Settings, RefuseValuesOfATypeThatNoSettingHas) {
  for (const auto* text : {"[limits]\nrps = 1.5\n", "[limits]\nrps = 1979-05-27\n", "[http]\ntrusted_proxies = [1.5]\n",
                           "[http]\ntrusted_proxies = [[\"10.0.0.0/8\"]]\n", "[runner.local]\npass_env = [{a = 1}]\n",
                           "[limits]\nrps = [7]\n", "[log]\nlevel = [\"info\"]\n", "limits = 7\n"}) {
    file(text);
    EXPECT_EQ(problems().size(), 1U) << text;
  }
}

TEST_F(Settings, SayWhereAFileIsNoToml) {
  file("[limits]\nrps = 7\nrps = = 8\n");
  EXPECT_THAT(problems(), ElementsAre(AllOf(HasSubstr(*in.file), HasSubstr("line 3"))));
}

TEST_F(Settings, SayThatAFileIsNotThere) {
  in.file = "/nowhere/rdev.toml";
  EXPECT_THAT(problems(), ElementsAre(AllOf(HasSubstr("--config"), HasSubstr("/nowhere/rdev.toml"))));
  in.file = testing::TempDir();
  EXPECT_THAT(problems(), testing::SizeIs(1)) << "a folder is no file";
}

// ---- values that belong together
TEST_F(Settings, NeedALeaseOfTwoHeartbeats) {
  in.flags = {{"leases.renew", "2s"}, {"leases.lease", "3s"}};
  EXPECT_THAT(problems(), ElementsAre(AllOf(HasSubstr("leases.lease"), HasSubstr("twice leases.renew"))));
  in.flags["leases.lease"] = "4s";
  EXPECT_THAT(problems(), testing::IsEmpty());
}

TEST_F(Settings, NeedADefaultTimeoutWithinTheMost) {
  in.flags = {{"commands.default_timeout", "2h"}, {"commands.max_timeout", "1h"}};
  EXPECT_THAT(problems(), ElementsAre(AllOf(HasSubstr("commands.default_timeout"), HasSubstr("commands.max_timeout"))));
}

TEST_F(Settings, NeedAProgramForTheAgent) {
  file("[claude]\nargv = []\n");
  EXPECT_THAT(problems(), ElementsAre(HasSubstr("claude.argv")));
  file("[claude]\nargv = [\"\"]\n");
  EXPECT_THAT(problems(), ElementsAre(HasSubstr("claude.argv")));
}

TEST_F(Settings, ListenBeyondLoopbackOnlyWhenToldTo) {
  for (const auto* far : {"0.0.0.0:80", "[::]:80", "192.0.2.1:80", "example.org:80", "128.0.0.1:80",
                          "[::ffff:192.0.2.1]:80", "localhost.example:80"}) {
    in.flags = {{"server.listen", far}};
    EXPECT_THAT(problems(), ElementsAre(AllOf(HasSubstr("server.listen"), HasSubstr("runner.local.allow_network"))))
        << far;
    in.flags["runner.local.allow_network"] = "true";
    EXPECT_THAT(problems(), testing::IsEmpty()) << far;
  }
  for (const auto* near : {"127.0.0.1:0", "127.9.9.9:80", "[::1]:80", "localhost:80", "[::ffff:127.0.0.1]:80"}) {
    in.flags = {{"server.listen", near}};
    EXPECT_THAT(problems(), testing::IsEmpty()) << near;
  }
}

// ---- secrets
TEST_F(Settings, NeedSecretsKeysWithADatabaseOfOnesOwn) {
  in.environment["DATABASE_URL"] = "postgresql://rdev:hunter2@db/rdev";
  const auto found = problems();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0],
              AllOf(HasSubstr("RDEV_SECRETS_KEYS"), HasSubstr("openssl rand"), testing::Not(HasSubstr("hunter2"))));
  in.environment["RDEV_SECRETS_KEYS"] = a_ring;
  const auto s = good();
  EXPECT_EQ(s.database.url.reveal(), "postgresql://rdev:hunter2@db/rdev");
  EXPECT_EQ(s.secrets_keys.reveal(), a_ring);
}

TEST_F(Settings, MakeAConnectionOfTheSingleVariables) {
  in.environment = {{"HOME", "/h"},
                    {"DB_HOST", "db"},
                    {"DB_PORT", "5433"},
                    {"DB_USER", "u"},
                    {"DB_PASSWORD", "it's \\ a=b"},
                    {"DB_NAME", "n"},
                    {"RDEV_SECRETS_KEYS", a_ring}};
  EXPECT_EQ(good().database.url.reveal(), R"(host='db' port='5433' user='u' password='it\'s \\ a=b' dbname='n')");
  in.environment["DATABASE_URL"] = "postgresql://elsewhere/";
  EXPECT_EQ(good().database.url.reveal(), "postgresql://elsewhere/");
}

TEST_F(Settings, NeedSecretsKeysWithTheSingleVariablesToo) {
  in.environment["DB_HOST"] = "db";
  EXPECT_THAT(problems(), ElementsAre(HasSubstr("RDEV_SECRETS_KEYS")));
}

TEST_F(Settings, TakeAnAdminKeyOfThirtyTwoPrintableCharacters) {
  const auto with = [&](const std::string& key) {
    in.environment["RDEV_ADMIN_KEY"] = key;
    return problems();
  };
  EXPECT_THAT(with(std::string(32, 'x')), testing::IsEmpty());
  EXPECT_EQ(good().admin_key.reveal(), std::string(32, 'x'));
  EXPECT_THAT(with("!#$%&'()*+,-./:;<=>?@[]^_`{|}~\"\\ok"), testing::IsEmpty());
  EXPECT_THAT(with(""), testing::IsEmpty()) << "none";
  for (const auto& bad : {std::string(31, 'x'), std::string(40, '\n'), std::string(40, '\x7f'), std::string(5'000, 'x'),
                          std::string(31, 'x') + "\t"}) {
    const auto found = with(bad);
    ASSERT_EQ(found.size(), 1U) << bad.substr(0, 50);
    EXPECT_THAT(found[0], AllOf(HasSubstr("RDEV_ADMIN_KEY"), HasSubstr("32"), testing::Not(HasSubstr("xxxx"))));
  }
}

TEST_F(Settings, TakeNoSecretFromAFile) {
  file("admin_key = \"" + std::string(40, 'x') + "\"\n");
  EXPECT_EQ(problems().size(), 1U);
}

// ---- what is filled in
TEST_F(Settings, FindAPlaceForTheData) {
  const bool root = ::geteuid() == 0;
  EXPECT_EQ(good().server.data_dir, root ? "/var/lib/rdev" : "/home/someone/.local/state/rdev");
  in.environment["XDG_STATE_HOME"] = "/state";
  EXPECT_EQ(good().server.data_dir, root ? "/var/lib/rdev" : "/state/rdev");
  in.flags["server.data_dir"] = "/tmp/./x/../y";
  EXPECT_EQ(good().server.data_dir, "/tmp/y");
}

TEST_F(Settings, MakeRelativePlacesAbsolute) {
  in.flags["server.data_dir"] = "state";
  in.environment["RDEV_RUNNER_LOCAL_DIR"] = "shared/here";
  EXPECT_EQ(good().server.data_dir, (std::filesystem::current_path() / "state").string());
  EXPECT_EQ(good().runner.local.dir, (std::filesystem::current_path() / "shared/here").string());
}

TEST_F(Settings, SayWhenThereIsNoPlaceForTheData) {
  in.environment.clear();
  if (::geteuid() == 0)
    EXPECT_THAT(problems(), testing::IsEmpty());
  else
    EXPECT_THAT(problems(), ElementsAre(HasSubstr("server.data_dir")));
}

} // namespace
} // namespace rdev::config
