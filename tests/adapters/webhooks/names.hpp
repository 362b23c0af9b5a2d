// What names mean in this process: getaddrinfo() is defined here, so that curl asks it on its usual way. Names that
// nobody has given a meaning go to the system.
#pragma once

#include <string>
#include <vector>

namespace rdev::test {

// The addresses that the next questions for a name get, one answer after the other; the last one stays. An answer
// without addresses says that there is no such name.
void set_name(const std::string& name, std::vector<std::vector<std::string>> answers);
int questions_for(const std::string& name);

// While it lives, questions for a name get no answer.
class name_without_answer {
public:
  explicit name_without_answer(std::string name);
  ~name_without_answer();
  name_without_answer(const name_without_answer&) = delete;
  name_without_answer& operator=(const name_without_answer&) = delete;

private:
  std::string name_;
};

} // namespace rdev::test
