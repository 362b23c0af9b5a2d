// libpqxx 6.4 forgets one result of libpq for each connection that breaks under a statement: some hundred bytes, not
// ours.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libpqxx\n";
}
