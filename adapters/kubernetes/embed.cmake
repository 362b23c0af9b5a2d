# Writes OUT, a C++ file that holds the text of SHIM without its comments and the blanks in front of its lines.
file(READ ${SHIM} shim)
string(REGEX REPLACE "(^|\n)[ ]*#[^\n]*" "\\1" shim "${shim}")
string(REGEX REPLACE "\n[ ]+" "\n" shim "${shim}")
string(REGEX REPLACE "\n\n+" "\n" shim "${shim}")
string(REGEX REPLACE "^\n+" "" shim "${shim}")
file(WRITE ${OUT} "#include \"adapters/kubernetes/shim_text.hpp\"\n\nnamespace rdev::kubernetes {\n\nconst std::string_view shim_text = R\"rdev_sh(${shim})rdev_sh\";\n\n} // namespace rdev::kubernetes\n")
