file(READ ${FILE} text)
file(WRITE ${OUT} "#include \"config/settings.hpp\"\n\nnamespace rdev::config {\n\nconst std::string_view default_file = R\"rdev_toml(${text})rdev_toml\";\n\n} // namespace rdev::config\n")
