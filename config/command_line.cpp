#include "config/command_line.hpp"

#include <CLI/CLI.hpp>

#include <sstream>

namespace rdev::config {

std::variant<invocation, early_end> parse_command_line(int argc, const char* const* argv) {
  CLI::App app{"rdev-api runs commands in projects and streams their output.\n"
               "Settings: config/rdev.default.toml; each is also a variable RDEV_<SECTION>_<KEY>."};
  app.require_subcommand(1);
  std::string file;
  std::string listen;
  std::string data_dir;
  std::string node;
  std::vector<std::string> rest;
  const auto common = [&](CLI::App* sub) {
    sub->add_option("--config", file, "TOML file with settings")->type_name("FILE");
    sub->add_option("--data-dir", data_dir, "where rdev keeps its files (server.data_dir)")->type_name("DIR");
    return sub;
  };
  auto* serve = common(app.add_subcommand("serve", "run the server until SIGTERM or SIGINT"));
  serve->add_option("--listen", listen, "address to listen on (server.listen); port 0 takes a free one")
      ->type_name("HOST:PORT");
  serve->add_option("--node", node, "name of this node (server.node)")->type_name("NAME");
  auto* migrate = common(app.add_subcommand("migrate", "bring the database's schema up to this program's"));
  auto* check = common(app.add_subcommand("check-config", "say what is wrong with the settings, all at once"));
  auto* psql = common(app.add_subcommand("psql", "psql on the configured or embedded database; arguments after --"));
  psql->add_option("args", rest, "arguments for psql");
  auto* audit = app.add_subcommand("audit", "the audit log");
  audit->require_subcommand(1);
  auto* verify =
      common(audit->add_subcommand("verify", "look through the whole log and say whether it is as it was written"));
  std::string checkpoints;
  std::string keys;
  std::string dump;
  const auto file_option = [&](const char* name, std::string& into, const char* what) {
    verify->add_option(name, into, what)->type_name("FILE")->check([](const std::string& text) {
      return std::string(text.empty() ? "must not be empty: leave it out" : "");
    });
  };
  file_option("--dump", dump,
              "look through what `rdev audit export` wrote, without any database; - = stdin. --checkpoint and "
              "--public-key go together then");
  file_option("--checkpoint", checkpoints, "checkpoints kept outside: log lines `audit checkpoint`");
  file_option("--public-key", keys, "believe these keys, not those of the database: base64, one a line");
  auto* version = app.add_subcommand("version", "print the version");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    std::ostringstream out;
    const int code = app.exit(e, out, out);
    return early_end{code == 0 ? 0 : 2, out.str()};
  }
  invocation made;
  if (migrate->parsed())
    made.what = verb::migrate;
  if (check->parsed())
    made.what = verb::check_config;
  if (psql->parsed())
    made.what = verb::psql;
  if (verify->parsed())
    made.what = verb::audit_verify;
  if (version->parsed())
    made.what = verb::version;
  if (!file.empty())
    made.in.file = file;
  if (!listen.empty())
    made.in.flags["server.listen"] = listen;
  if (!data_dir.empty())
    made.in.flags["server.data_dir"] = data_dir;
  if (!node.empty())
    made.in.flags["server.node"] = node;
  made.rest = rest;
  made.checkpoint_file = checkpoints;
  made.public_key_file = keys;
  made.dump_file = dump;
  return made;
}

} // namespace rdev::config
