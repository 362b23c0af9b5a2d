#include "names.hpp"

#include <dlfcn.h>
#include <netdb.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>

namespace rdev::test {

namespace {

struct known_names {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, std::vector<std::vector<std::string>>> answers;
  std::map<std::string, int> questions;
  std::set<std::string> silent;
};

known_names& names() {
  static auto* all = std::make_unique<known_names>().release(); // a thread of curl may ask until the process is gone
  return *all;
}

using resolver = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
resolver system_resolver() {
  static const auto found = reinterpret_cast<resolver>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  return found;
}

int resolve(const std::vector<std::string>& addresses, const char* service, const addrinfo* hints, addrinfo** out) {
  auto any = hints == nullptr ? addrinfo{} : *hints;
  any.ai_family = AF_UNSPEC; // also where curl has found that there is no IPv6
  addrinfo* first = nullptr;
  for (auto at = addresses.rbegin(); at != addresses.rend(); ++at) {
    addrinfo* one = nullptr;
    if (const int error = system_resolver()(at->c_str(), service, &any, &one); error != 0)
      return error;
    auto* last = one;
    while (last->ai_next != nullptr)
      last = last->ai_next;
    last->ai_next = first;
    first = one;
  }
  *out = first;
  return first == nullptr ? EAI_NONAME : 0;
}

} // namespace

void set_name(const std::string& name, std::vector<std::vector<std::string>> answers) {
  const std::lock_guard held(names().mutex);
  names().answers[name] = std::move(answers);
  names().questions[name] = 0;
}

int questions_for(const std::string& name) {
  const std::lock_guard held(names().mutex);
  return names().questions[name];
}

name_without_answer::name_without_answer(std::string name) : name_(std::move(name)) {
  set_name(name_, {{}});
  const std::lock_guard held(names().mutex);
  names().silent.insert(name_);
}

name_without_answer::~name_without_answer() {
  const std::lock_guard held(names().mutex);
  names().silent.erase(name_);
  names().changed.notify_all();
}

} // namespace rdev::test

// NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): those of the system are reserved names
extern "C" __attribute__((visibility("default"))) int getaddrinfo(const char* node, const char* service,
                                                                  const addrinfo* hints, addrinfo** out) {
  using namespace rdev::test;
  std::vector<std::string> addresses;
  {
    std::unique_lock held(names().mutex);
    const auto known = node == nullptr ? names().answers.end() : names().answers.find(node);
    if (known == names().answers.end()) {
      held.unlock();
      return system_resolver()(node, service, hints, out);
    }
    ++names().questions[node];
    const std::string name(node);
    names().changed.wait(held, [&] { return !names().silent.contains(name); });
    auto& answers = names().answers[name];
    addresses = answers.front();
    if (answers.size() > 1)
      answers.erase(answers.begin());
  }
  return resolve(addresses, service, hints, out);
}
